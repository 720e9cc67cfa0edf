package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// device is an open CLUSTER partition. All I/O goes past the page cache: each server
// must see what the others have written, not what it remembers.
type device struct {
	path string
	fd   int
	size int64
	// sector is the logical sector size, in bytes; a file's is that of its pages.
	sector int
	// isFile: a regular file, as tests and the lab have it. Where its file system
	// knows no O_DIRECT the page cache is used; it is the same one for all
	// processes of the machine.
	isFile bool
}

// openDevice opens a block device or a file. exclusive fails for a block device that
// is mounted or otherwise in use by the kernel (open(2), O_EXCL without O_CREAT).
func openDevice(path string, exclusive bool) (*device, error) {
	flags := unix.O_RDWR | unix.O_DSYNC | unix.O_CLOEXEC | unix.O_NONBLOCK
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	d := &device{path: path, sector: 512}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		if exclusive {
			flags |= unix.O_EXCL
		}
	case unix.S_IFREG:
		d.isFile, d.size, d.sector = true, st.Size, copySize
	default:
		return nil, fmt.Errorf("%s: neither a block device nor a file", path)
	}
	fd, err := unix.Open(path, flags|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) && d.isFile {
		fd, err = unix.Open(path, flags, 0)
	}
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%s: in use (mounted, or part of a RAID or LVM)", path)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	d.fd = fd
	if !d.isFile {
		if err := d.measure(); err != nil {
			d.close()
			return nil, err
		}
	}
	if d.size < Size {
		d.close()
		return nil, fmt.Errorf("%s: %d bytes, less than the %d of a CLUSTER partition", path, d.size, Size)
	}
	if d.sector > copySize {
		d.close()
		return nil, fmt.Errorf("%s: sectors of %d bytes, more than %d", path, d.sector, copySize)
	}
	return d, nil
}

func (d *device) measure() error {
	sector, err := unix.IoctlGetInt(d.fd, unix.BLKSSZGET)
	if err != nil {
		return fmt.Errorf("%s: sector size: %w", d.path, err)
	}
	d.sector = sector
	if d.size, err = unix.Seek(d.fd, 0, unix.SEEK_END); err != nil {
		return fmt.Errorf("%s: size: %w", d.path, err)
	}
	return nil
}

func (d *device) close() { unix.Close(d.fd) }

// sectors is a device, or what a test has in its place. Offsets and lengths are
// multiples of the sector size, and memory is aligned (alignedMemory).
type sectors interface {
	readAt(b []byte, off int64) error
	writeAt(b []byte, off int64) error
	close()
}

func (d *device) readAt(b []byte, off int64) error {
	return d.whole("read", len(b), off, func(done int) (int, error) { return unix.Pread(d.fd, b[done:], off+int64(done)) })
}

func (d *device) writeAt(b []byte, off int64) error {
	return d.whole("write", len(b), off, func(done int) (int, error) { return unix.Pwrite(d.fd, b[done:], off+int64(done)) })
}

func (d *device) whole(what string, size int, off int64, move func(done int) (int, error)) error {
	for done := 0; done < size; {
		n, err := move(done)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return &fs.PathError{Op: what, Path: d.path, Err: err}
		case n == 0 || n%512 != 0:
			return fmt.Errorf("%s %s: %d of %d bytes at %d", what, d.path, done+max(n, 0), size, off)
		}
		done += n
	}
	return nil
}

// alignedMemory is memory as O_DIRECT wants it. It is never given back: a call that
// hangs may still use it.
func alignedMemory(size int) []byte {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic("mmap of anonymous memory: " + err.Error()) // out of address space
	}
	return b
}

// access tells other goroutines since when a call of the kernel has been under way.
type access struct {
	mu    sync.Mutex
	what  string
	since time.Time // zero: none is
}

func (a *access) begin(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.what, a.since = what, time.Now()
}

func (a *access) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.since = time.Time{}
}

// age is how long the call has been under way, 0 if none is.
func (a *access) age() (what string, age time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.since.IsZero() {
		return "", 0
	}
	return a.what, time.Since(a.since)
}

// deviceMedium is a device for one call of the algorithm. Before each access it looks
// whether anybody waits for the outcome: what a call that hung would do after that is
// left undone.
type deviceMedium struct {
	ctx    context.Context
	device sectors
	access *access
}

func (m *deviceMedium) read(area []byte) error {
	if err := m.ctx.Err(); err != nil {
		return err
	}
	m.access.begin("read")
	defer m.access.end()
	return m.device.readAt(area, 0)
}

func (m *deviceMedium) write(off int64, data []byte) error {
	if err := m.ctx.Err(); err != nil {
		return err
	}
	m.access.begin("write")
	defer m.access.end()
	return m.device.writeAt(data, off)
}

func (m *deviceMedium) pause(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-m.ctx.Done():
		return m.ctx.Err()
	}
}

// lock is the file whose lock says that a process of this server may use the disk
// (rule T2). A process that a hung write keeps from ending keeps the lock too, so
// that its write cannot land after those of its successor.
func lock(dir string) (*os.File, error) {
	path := dir + "/disk.lock"
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: held by an earlier batond, which may be waiting for the disk", path)
		}
		return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	return f, nil
}
