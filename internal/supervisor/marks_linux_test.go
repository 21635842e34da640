package supervisor_test

import "golang.org/x/sys/unix"

// forbidMarks takes away the room for marks, for good.
func forbidMarks() {
	if err := unix.Prlimit(0, unix.RLIMIT_RTTIME, &unix.Rlimit{}, nil); err != nil {
		panic(err)
	}
}

// lowerMark makes this process one that the guard does not know.
func lowerMark() {
	if err := unix.Prlimit(0, unix.RLIMIT_RTTIME, &unix.Rlimit{Cur: 5, Max: 5}, nil); err != nil {
		panic(err)
	}
}
