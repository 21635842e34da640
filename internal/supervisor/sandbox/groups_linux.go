package sandbox

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// groupPrefix names the groups of this program: the prefix, the process that made
// it, and a number.
const groupPrefix = "dragoman-"

// cpuPeriod is the time in which a share of a processor is given, in µs (the kernel's own default).
const cpuPeriod = 100_000

// hierarchy is where groups of one kind can be made.
type hierarchy struct {
	dir     string // of the group that this process is in
	unified bool
	control []string // what can be bounded there
}

// hierarchies finds where this process may make groups: version 2 where it has
// been given a part of the tree, else version 1.
func hierarchies() ([]hierarchy, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("read control groups: %w", err)
	}
	mounts, err := groupMounts()
	if err != nil {
		return nil, err
	}
	var v1, v2 []hierarchy
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		mount, ok := mounts[parts[1]]
		if !ok {
			continue
		}
		h := hierarchy{dir: filepath.Join(mount, parts[2]), unified: parts[1] == "", control: []string{parts[1]}}
		switch {
		case h.unified:
			if h.dir, h.control = delegated(mount, h.dir); len(h.control) > 0 {
				v2 = append(v2, h)
			}
		case parts[1] == "memory" || parts[1] == "cpu" || parts[1] == "cpu,cpuacct" || parts[1] == "pids":
			h.control = strings.Split(parts[1], ",")
			v1 = append(v1, h)
		}
	}
	if len(v2) > 0 {
		return v2, nil
	}
	if len(v1) == 0 {
		return nil, errors.New("no control group is delegated to this process")
	}
	return v1, nil
}

// delegated finds the group of version 2 that may have groups below it: the own
// one, or, where a service manager has put this process into a group below the one
// that it gave us (systemd's DelegateSubgroup=), that one.
func delegated(mount, own string) (dir string, control []string) {
	if control := offered(own); len(control) > 0 {
		return own, control
	}
	above := filepath.Dir(own)
	if !strings.HasPrefix(above, mount+"/") {
		return own, nil
	}
	if procs, err := os.ReadFile(filepath.Join(above, "cgroup.procs")); err != nil || len(procs) > 0 {
		return own, nil // somebody else's, or one that cannot be divided
	}
	for _, name := range []string{"memory", "cpu", "pids"} {
		_ = os.WriteFile(filepath.Join(above, "cgroup.subtree_control"), []byte("+"+name), 0) // not given: then it is not offered
	}
	return above, offered(above)
}

// offered are the controllers that a group of version 2 gives to groups below it.
// Those are only there when somebody has enabled them: a group with processes of
// its own cannot (cgroups(7), "no internal processes"), so a service manager does.
func offered(dir string) []string {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil {
		return nil
	}
	var useful []string
	for name := range strings.FieldsSeq(string(text)) {
		if name == "memory" || name == "cpu" || name == "pids" {
			useful = append(useful, name)
		}
	}
	return useful
}

// groupMounts maps the controllers of version 1, and "" for version 2, to where
// they are mounted.
func groupMounts() (map[string]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read control groups: %w", err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		switch kind[0] {
		case "cgroup2":
			found[""] = fields[4]
		case "cgroup":
			found[filepath.Base(fields[4])] = fields[4]
		}
	}
	return found, nil
}

// MakeGroups makes the groups that bound a child and returns their directories,
// for Plan.Groups and RemoveGroups. An error leaves none behind. id makes the name
// unlike all others of this process.
func MakeGroups(b Bounds, id uint64) ([]string, error) {
	all, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var dirs []string
	settled := map[string]bool{}
	for _, h := range all {
		files := h.settings(b)
		if len(files) == 0 {
			continue
		}
		sweepGroups(h.dir)
		dir := filepath.Join(h.dir, fmt.Sprintf("%s%d-%d", groupPrefix, os.Getpid(), id))
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			dirs = append(dirs, dir)
		}
		for name, value := range files {
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), []byte(value), 0)
			}
			settled[strings.SplitN(name, ".", 2)[0]] = true
		}
		if err != nil {
			RemoveGroups(dirs)
			return nil, fmt.Errorf("make control group: %w", err)
		}
	}
	for name, wanted := range map[string]bool{"memory": b.Memory > 0, "cpu": b.CPU > 0, "pids": b.Processes > 0} {
		if wanted && !settled[name] {
			RemoveGroups(dirs)
			return nil, fmt.Errorf("make control group: the controller %q is not delegated to this process", name)
		}
	}
	return dirs, nil
}

// settings are the files that a group needs, by name.
func (h hierarchy) settings(b Bounds) map[string]string {
	files := map[string]string{}
	quota := strconv.Itoa(max(int(math.Round(b.CPU*cpuPeriod)), 1000))
	for _, name := range h.control {
		switch {
		case name == "memory" && b.Memory > 0 && h.unified:
			files["memory.max"] = strconv.FormatInt(b.Memory, 10)
		case name == "memory" && b.Memory > 0:
			files["memory.limit_in_bytes"] = strconv.FormatInt(b.Memory, 10)
		case name == "cpu" && b.CPU > 0 && h.unified:
			files["cpu.max"] = quota + " " + strconv.Itoa(cpuPeriod)
		case name == "cpu" && b.CPU > 0:
			files["cpu.cfs_quota_us"] = quota
		case name == "pids" && b.Processes > 0:
			files["pids.max"] = strconv.Itoa(b.Processes)
		}
	}
	return files
}

// removeBound is how long RemoveGroups waits for groups whose processes are ending.
const removeBound = 500 * time.Millisecond

// RemoveGroups removes groups whose processes have ended. One that is still in use
// stays, and is removed with a later group of this program.
func RemoveGroups(dirs []string) {
	for until := time.Now().Add(removeBound); ; time.Sleep(5 * time.Millisecond) {
		var busy []string
		for _, dir := range dirs {
			if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
				busy = append(busy, dir)
			}
		}
		if dirs = busy; len(dirs) == 0 || time.Now().After(until) {
			return
		}
	}
}

// sweepGroups removes what processes of this program left that are gone.
func sweepGroups(dir string) {
	left, err := filepath.Glob(filepath.Join(dir, groupPrefix+"*-*"))
	if err != nil {
		return
	}
	for _, group := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(group), groupPrefix), "-")
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			_ = os.Remove(group) // in use: then not all of it is gone
		}
	}
}

// describeGroups says in a word what MakeGroups would do.
func describeGroups() (string, bool) {
	dirs, err := MakeGroups(Bounds{Memory: 1 << 30, CPU: 1}, 0)
	if err != nil {
		return err.Error(), false
	}
	RemoveGroups(dirs)
	if all, err := hierarchies(); err == nil && all[0].unified {
		return "cgroup v2", true
	}
	return "cgroup v1", true
}
