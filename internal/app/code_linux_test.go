package app

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOnlyWhatIsAsInTheFileIsLetGo(t *testing.T) {
	const file = "/usr/bin/dragoman"
	entry := func(head, anonymous, swap string) string {
		return head + "\nSize:  4 kB\nRss:  4 kB\nAnonymous:  " + anonymous + " kB\nAnonHugePages:  0 kB\nSwap:  " + swap + " kB\nSwapPss:  0 kB\nVmFlags: rd mr mw me\n"
	}
	code := "00400000-01773000 r-xp 00000000 fe:00 123                  /usr/bin/dragoman"
	for name, c := range map[string]struct {
		smaps string
		want  []mapping
	}{
		"code":                              {entry(code, "0", "0"), []mapping{{0x400000, 0x1373000}}},
		"constants":                         {entry("01773000-02b30000 r--p 01373000 fe:00 123 /usr/bin/dragoman", "0", "0"), []mapping{{0x1773000, 0x13bd000}}},
		"constants that a loader wrote to":  {entry("01773000-02b30000 r--p 01373000 fe:00 123 /usr/bin/dragoman", "8", "0"), nil},
		"what was written and swapped out":  {entry("01773000-02b30000 r--p 01373000 fe:00 123 /usr/bin/dragoman", "0", "8"), nil},
		"variables":                         {entry("02b30000-02c2a000 rw-p 02730000 fe:00 123 /usr/bin/dragoman", "0", "0"), nil},
		"another's code":                    {entry("7f0000000000-7f0000010000 r-xp 00000000 fe:00 9 /lib/libc.so.6", "0", "0"), nil},
		"no file":                           {entry("c000000000-c000400000 rw-p 00000000 00:00 0", "0", "0"), nil},
		"nothing":                           {"", nil},
		"no numbers of its own":             {code + "\n", nil},
		"an empty range":                    {entry("00400000-00400000 r-xp 00000000 fe:00 123 /usr/bin/dragoman", "0", "0"), nil},
		"no addresses":                      {entry("x-y r-xp 00000000 fe:00 123 /usr/bin/dragoman", "0", "0"), nil},
		"one that is written to, then code": {entry("01773000-02b30000 r--p 01373000 fe:00 123 /usr/bin/dragoman", "8", "0") + entry(code, "0", "0"), []mapping{{0x400000, 0x1373000}}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, constants(strings.NewReader(c.smaps), file), cmp.AllowUnexported(mapping{})); d != "" {
				t.Errorf("mappings differ (-want +got):\n%s", d)
			}
		})
	}
}

// Under the race detector the program is linked dynamically and has pages that
// the loader wrote to.
func TestTheProgramGoesOnWithoutItsCodeInMemory(t *testing.T) {
	letCodeGo()
	if text, err := os.ReadFile("/proc/self/status"); err != nil || !strings.Contains(string(text), "VmRSS") {
		t.Errorf("status: %.100s, %v", text, err)
	}
}
