package telemetry_test

import (
	"encoding/json"
	"runtime"
	"testing"
)

var goVersion = runtime.Version()

func TestFactsAreOfThisMachine(t *testing.T) {
	tel, _, _ := start(t, nil)
	f := tel.Facts()
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if f.Goroutines < 1 || f.UptimeSeconds < 0 {
		t.Errorf("facts are %s", text)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if f.RSSBytes == nil || *f.RSSBytes < 1<<20 || *f.RSSBytes > *f.MemoryTotal {
		t.Errorf("resident memory is not plausible: %s", text)
	}
	for name, p := range map[string]*float64{"cpu": f.CPUPercent, "memory": f.MemoryPercent, "disk": f.DiskPercent} {
		if p == nil || *p < 0 || *p > 100 {
			t.Errorf("percent of %s is not plausible: %s", name, text)
		}
	}
	if f.Load1 == nil || f.ProcessCPU == nil || f.OpenFiles == nil || *f.OpenFiles < 3 {
		t.Errorf("facts are missing: %s", text)
	}
	// A second look right after the first repeats its figure instead of dividing by nothing.
	if again := tel.Facts(); *again.CPUPercent != *f.CPUPercent {
		t.Errorf("cpu is %v, then %v", *f.CPUPercent, *again.CPUPercent)
	}
}
