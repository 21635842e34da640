package app

import (
	"os"
	"strings"
	"testing"
)

func TestOnlyWhatCannotBeWrittenIsLetGo(t *testing.T) {
	const file = "/usr/bin/dragoman"
	for name, c := range map[string]struct {
		line        string
		start, size uintptr
		ok          bool
	}{
		"code":              {"00400000-01773000 r-xp 00000000 fe:00 123                  /usr/bin/dragoman", 0x400000, 0x1373000, true},
		"constants":         {"01773000-02b30000 r--p 01373000 fe:00 123 /usr/bin/dragoman", 0x1773000, 0x13bd000, true},
		"variables":         {"02b30000-02c2a000 rw-p 02730000 fe:00 123 /usr/bin/dragoman", 0, 0, false},
		"another's code":    {"7f0000000000-7f0000010000 r-xp 00000000 fe:00 9 /lib/libc.so.6", 0, 0, false},
		"no file":           {"c000000000-c000400000 rw-p 00000000 00:00 0", 0, 0, false},
		"what is not there": {"", 0, 0, false},
		"an empty range":    {"00400000-00400000 r-xp 00000000 fe:00 123 /usr/bin/dragoman", 0, 0, false},
		"no numbers":        {"x-y r-xp 00000000 fe:00 123 /usr/bin/dragoman", 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			if start, size, ok := constantMapping(c.line, file); start != c.start || size != c.size || ok != c.ok {
				t.Errorf("constantMapping(%q) = %#x, %#x, %t; want %#x, %#x, %t", c.line, start, size, ok, c.start, c.size, c.ok)
			}
		})
	}
}

func TestTheProgramGoesOnWithoutItsCodeInMemory(t *testing.T) {
	letCodeGo()
	if text, err := os.ReadFile("/proc/self/status"); err != nil || !strings.Contains(string(text), "VmRSS") {
		t.Errorf("status: %.100s, %v", text, err)
	}
}
