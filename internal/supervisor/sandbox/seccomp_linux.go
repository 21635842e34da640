package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The parts of struct seccomp_data (seccomp(2)) that the filter looks at. Both
// architectures below are little-endian, so the low half of an argument is first.
const (
	offsetCall = 0
	offsetArch = 4
	offsetArg0 = 16
)

// x32 is the bit by which a 64-bit program reaches the 32-bit table of calls.
const x32 = 0x4000_0000

// namespaceFlags are those of clone that make namespaces.
const namespaceFlags = unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWNS |
	unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// refusedCalls are those that no MCP server has a use for and that have been a way
// out of sandboxes: of administrators, of debuggers, and of the kernel's younger
// and larger interfaces.
func refusedCalls() []uint32 {
	return []uint32{
		unix.SYS_ACCT, unix.SYS_ADD_KEY, unix.SYS_ADJTIMEX, unix.SYS_BPF, unix.SYS_CHROOT, unix.SYS_CLOCK_ADJTIME, unix.SYS_CLOCK_SETTIME,
		unix.SYS_DELETE_MODULE, unix.SYS_FANOTIFY_INIT, unix.SYS_FINIT_MODULE, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSOPEN, unix.SYS_FSPICK,
		unix.SYS_INIT_MODULE, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_IO_URING_SETUP, unix.SYS_KCMP, unix.SYS_KEXEC_FILE_LOAD,
		unix.SYS_KEXEC_LOAD, unix.SYS_KEYCTL, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_MOUNT, unix.SYS_MOUNT_SETATTR, unix.SYS_MOVE_MOUNT, unix.SYS_MOVE_PAGES,
		unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_NFSSERVCTL, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_OPEN_TREE, unix.SYS_PERF_EVENT_OPEN, unix.SYS_PERSONALITY,
		unix.SYS_PIVOT_ROOT, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PTRACE, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_REBOOT,
		unix.SYS_REQUEST_KEY, unix.SYS_SETDOMAINNAME, unix.SYS_SETHOSTNAME, unix.SYS_SETNS, unix.SYS_SETTIMEOFDAY, unix.SYS_SWAPOFF, unix.SYS_SWAPON,
		unix.SYS_SYSLOG, unix.SYS_UMOUNT2, unix.SYS_UNSHARE, unix.SYS_USERFAULTFD, unix.SYS_VHANGUP, unix.SYS_VMSPLICE,
	}
}

// families are the kinds of sockets that a server may make.
func families() []uint32 {
	return []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}
}

// architecture is the name of this one in filters; 0 for those without a filter.
func architecture() uint32 {
	return map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
}

// filterCalls refuses calls with EPERM from now on, for this thread and what it becomes.
func filterCalls() error {
	if architecture() == 0 {
		return errors.New("filter calls of the kernel: there is no filter for " + runtime.GOARCH)
	}
	program := filter()
	f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&f)), 0, 0); err != nil {
		return fmt.Errorf("filter calls of the kernel: %w", err)
	}
	runtime.KeepAlive(program)
	return nil
}

// filter is the program that the kernel runs for each call. Its jumps are short
// and forward: each refusal is right behind its test.
func filter() []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	// unless skips n instructions when the test holds, or when it does not.
	when := func(test uint16, k uint32, holds, fails uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, Jt: holds, Jf: fails, K: k}
	}
	refuse, missing := answer(unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)), answer(unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS))
	p := []unix.SockFilter{load(offsetArch), when(unix.BPF_JEQ, architecture(), 1, 0), answer(unix.SECCOMP_RET_KILL_PROCESS), load(offsetCall)}
	if runtime.GOARCH == "amd64" {
		p = append(p, when(unix.BPF_JGE, x32, 0, 1), refuse)
	}
	for _, call := range refusedCalls() {
		p = append(p, when(unix.BPF_JEQ, call, 0, 1), refuse)
	}
	// The flags of clone3 are behind a pointer, which no filter can follow. Without it libraries use clone.
	p = append(p, when(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1), missing)
	p = append(p, when(unix.BPF_JEQ, unix.SYS_CLONE, 0, 4), load(offsetArg0), when(unix.BPF_JSET, namespaceFlags, 0, 1), refuse,
		answer(unix.SECCOMP_RET_ALLOW))
	p = append(p, when(unix.BPF_JEQ, unix.SYS_SOCKET, 0, uint8(2+len(families()))), load(offsetArg0))
	for i, family := range families() {
		p = append(p, when(unix.BPF_JEQ, family, uint8(len(families())-i), 0))
	}
	return append(p, refuse, answer(unix.SECCOMP_RET_ALLOW))
}
