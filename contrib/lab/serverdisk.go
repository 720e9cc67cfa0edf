package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// makeDisk makes the server's disk. One of limited size is a file system of its own,
// mounted before the first boot, so that every life of the server sees it.
func (s *Server) makeDisk() error {
	if err := os.MkdirAll(s.disk, 0o755); err != nil {
		return err
	}
	if s.lab.opts.DiskSize == 0 {
		return nil
	}
	if err := unix.Mount("disk", s.disk, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d,mode=0755", s.lab.opts.DiskSize)); err != nil {
		return fmt.Errorf("disk of %s: %w", s.Name, err)
	}
	return nil
}

func (s *Server) removeDisk() {
	if s.lab.opts.DiskSize > 0 {
		_ = unix.Unmount(s.disk, unix.MNT_DETACH)
	}
}

func (s *Server) filler() string { return filepath.Join(s.disk, "filler") }

// FillDisk writes on the server's disk until it is full: as root does, to the last byte.
func (s *Server) FillDisk() error {
	if s.lab.opts.DiskSize == 0 {
		return errors.New("the disk has no end: DiskSize()")
	}
	f, err := os.Create(s.filler())
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	s.lab.note("the disk of %s is full", s.Name)
	return nil
}

// FreeDisk removes what FillDisk has written.
func (s *Server) FreeDisk() error {
	s.lab.note("the disk of %s has room again", s.Name)
	return os.Remove(s.filler())
}
