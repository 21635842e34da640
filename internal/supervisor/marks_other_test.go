//go:build unix && !linux

package supervisor_test

// forbidMarks has nothing to do: there are no marks.
func forbidMarks() {}

func lowerMark() {}

func attempt([]string) int { return 2 }

func lateTimers() int { return 2 }

func lateness() string { return "" }
