package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// probeBound is how long one trial of a level may take.
const probeBound = 10 * time.Second

// Probe tries the levels from the highest down, each with a process that goes into
// the sandbox and ends, and reports what works. It takes some 10 ms. The program
// must call ShimMain first.
func Probe(ctx context.Context) Report {
	r := Report{Landlock: landlockVersion()}
	r.Groups, r.Bounded = describeGroups()
	for level := Calls; level > Clean; level-- {
		err := try(ctx, level)
		if err == nil {
			r.Level = level
			return r
		}
		r.Missing = fmt.Sprintf("level %s: %v", level, err)
	}
	return r
}

// try sends a process into a level without a network.
func try(ctx context.Context, level Level) error {
	ctx, cancel := context.WithTimeout(ctx, probeBound)
	defer cancel()
	p := &Plan{Level: level, NoNetwork: true, Dumb: true, Read: []string{"/usr"}}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	p.Attributes(cmd.SysProcAttr)
	args, err := p.Argv("/", nil)
	if err != nil {
		return err
	}
	var said bytes.Buffer
	cmd.Args, cmd.Env, cmd.Stderr, cmd.Dir = args, []string{"GOMAXPROCS=1"}, &said, "/"
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if text := strings.TrimPrefix(strings.TrimSpace(said.String()), "sandbox: "); text != "" {
			return fmt.Errorf("%s", text)
		}
		if level >= Namespaces && os.IsPermission(err) {
			return fmt.Errorf("namespaces: %w: a container's profile or the system's settings do not allow user namespaces", err)
		}
		return err
	}
	return nil
}
