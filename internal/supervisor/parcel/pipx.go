package parcel

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// parsePipx reads what follows pipx run.
func parsePipx(p *Parcel, words []string) (*Parcel, error) {
	var spec string
	var with []string
	words, err := options(words, func(word string) bool {
		switch word {
		case "-q", "--quiet", "-v", "--verbose", "--no-path-check":
		case "--no-cache", "--refresh":
			p.Moving = true
		default:
			return false
		}
		return true
	}, func(name, value string) bool {
		switch name {
		case "--spec":
			spec = value
		case "--with":
			with = append(with, value)
		case "--python":
			p.python = value
		default:
			return false
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	p.Program, p.Args = words[0], words[1:]
	if spec == "" {
		spec = words[0]
		p.Program = canonical(name(spec))
	}
	p.Specs = append([]string{spec}, with...)
	for _, spec := range p.Specs {
		if !pythonSpec().MatchString(spec) || strings.Contains(spec, "@") {
			return nil, other("%q is no package of an index", spec)
		}
	}
	return p, nil
}

// canonical is a name of a Python package as indexes know it (PEP 503).
func canonical(name string) string {
	return strings.ToLower(regexp.MustCompile(`[-_.]+`).ReplaceAllString(name, "-"))
}

// stepsPip do what pipx does, with the Python that it would take and the pip that comes with that: pipx itself needs more
// than one directory to write to.
func (p *Parcel) stepsPip(dir string, scripts bool, lookup func(string) string) [][]string {
	python := cmp.Or(p.python, lookup("PIPX_DEFAULT_PYTHON"), "python3")
	if regexp.MustCompile(`^[0-9.]+$`).MatchString(python) {
		python = "python" + python
	}
	venv := filepath.Join(dir, "venv")
	install := []string{filepath.Join(venv, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"}
	if !scripts {
		install = append(install, "--only-binary=:all:")
	}
	return [][]string{{python, "-m", "venv", venv}, append(append(install, "--"), p.Specs...)}
}

// pipPlaces are the indexes of pip's settings if the first of them is among these: without, pip has one of its own.
func pipPlaces(lookup func(string) string) []string {
	var places []string
	first := lookup("PIP_INDEX_URL") != ""
	for _, name := range []string{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"} {
		places = append(places, strings.Fields(lookup(name))...)
	}
	setting := regexp.MustCompile(`^\s*(index[-_]url|extra[-_]index[-_]url|find[-_]links)\s*[=:]`)
	for _, file := range pipSettings(lookup) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // most have none
		}
		for line := range strings.Lines(string(text)) {
			if match := setting.FindStringSubmatch(line); match != nil {
				first = first || strings.HasPrefix(match[1], "index")
				line = line[len(match[0]):]
			} else if strings.TrimLeft(line, " \t") == line {
				continue // neither one of these settings, nor the rest of one
			}
			places = append(places, strings.Fields(line)...)
		}
	}
	if !first {
		return nil
	}
	return slices.DeleteFunc(places, func(place string) bool { return !strings.Contains(place, "://") }) // find-links may be a folder
}

func pipSettings(lookup func(string) string) []string {
	home := lookup("HOME")
	files := []string{"/etc/pip.conf", "/etc/xdg/pip/pip.conf", filepath.Join(home, ".pip", "pip.conf"),
		filepath.Join(cmp.Or(lookup("XDG_CONFIG_HOME"), filepath.Join(home, ".config")), "pip", "pip.conf")}
	if file := lookup("PIP_CONFIG_FILE"); file != "" {
		files = append(files, file)
	}
	return files
}

func pipCaches(lookup func(string) string) []string {
	for _, at := range [][2]string{{"PIP_CACHE_DIR", ""}, {"XDG_CACHE_HOME", "pip"}, {"HOME", ".cache/pip"}} {
		if dir := lookup(at[0]); filepath.IsAbs(dir) {
			return []string{filepath.Join(dir, at[1])}
		}
	}
	return nil
}

// onlyScript is the only program of the package whose description is in info, which pipx takes when none has the
// package's name; empty when there are none or several.
func onlyScript(info string) string {
	text, err := os.ReadFile(filepath.Join(info, "entry_points.txt"))
	if err != nil {
		return ""
	}
	var scripts []string
	within := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			within = line == "[console_scripts]" || line == "[gui_scripts]"
		} else if name, _, ok := strings.Cut(line, "="); ok && within {
			scripts = append(scripts, strings.TrimSpace(name))
		}
	}
	if len(scripts) != 1 || scripts[0] != filepath.Base(scripts[0]) {
		return ""
	}
	return scripts[0]
}
