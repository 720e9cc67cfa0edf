package command

import (
	"os"

	"golang.org/x/sys/unix"
)

// getattr reads the modes of a terminal.
func getattr(f *os.File) (unix.Termios, error) {
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return unix.Termios{}, err
	}
	return *t, nil
}
