//go:build linux || darwin || freebsd || netbsd || openbsd

package main

import (
	"os"
	"syscall"
	"unsafe"
)

// columnsOf is how wide the terminal is that a file leads to; 0: to none.
func columnsOf(f *os.File) int {
	var size struct{ rows, columns, x, y uint16 }
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), uintptr(syscall.TIOCGWINSZ), uintptr(unsafe.Pointer(&size))) //nolint:gosec // the call's own form
	switch {
	case errno != 0:
		return 0
	case size.columns == 0:
		return 80 // a terminal that does not say
	}
	return int(size.columns)
}
