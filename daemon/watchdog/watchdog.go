// Package watchdog drives a watchdog device: a timer in hardware (or in the kernel,
// softdog) that resets the machine unless it is fed. It decides nothing; the guard
// holds the device and knows when to feed it.
//
// Opening the device starts the timer. Closing it stops the timer only after Stop, and
// only where the driver allows it: with "nowayout" nothing stops it any more, and Stop
// says so. A process that dies with the device open leaves the timer running.
//
// Sources: Documentation/watchdog/watchdog-api.rst and include/uapi/linux/watchdog.h
// of the kernel, drivers/watchdog/watchdog_dev.c for what the calls answer.
//
// Not tried on a device yet: where this was written there is none, and no softdog. The
// tests check numbers and layouts against the kernel's header, and the order of calls
// against a model of watchdog_dev.c that sits where the system calls are.
package watchdog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNoWayOut: the timer cannot be stopped any more. Whoever closes the device now has
// the machine reset, so it must be fed on.
var ErrNoWayOut = errors.New(`the watchdog cannot be stopped (nowayout)`)

// calls are the system calls on an open device, or a test's model of them.
type calls interface {
	ioctl(request uint, arg unsafe.Pointer) error
	write(b []byte) error
	close() error
}

// Device is an open watchdog. One goroutine uses it.
type Device struct {
	path    string
	calls   calls
	options uint32
	// Identity is the driver's name for it.
	Identity string
	// CardReset says that the last reset of this machine was the watchdog's doing.
	CardReset bool
}

// Open opens the device, which starts its timer with whatever time the driver has.
func Open(path string) (*Device, error) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, fmt.Errorf("watchdog %s is in use by another program: only one can feed it; with systemd, take RuntimeWatchdogSec= out of system.conf", path)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("watchdog %s is not there: load the driver of the hardware, or softdog", path)
	case err != nil:
		return nil, fmt.Errorf("watchdog %s: %w", path, err)
	}
	return open(path, file(fd))
}

func open(path string, c calls) (*Device, error) {
	d := &Device{path: path, calls: c}
	var info unix.WatchdogInfo
	err := c.ioctl(unix.WDIOC_GETSUPPORT, unsafe.Pointer(&info))
	if err != nil {
		err = fmt.Errorf("watchdog %s is none: WDIOC_GETSUPPORT: %w", path, err)
	}
	d.options = info.Options
	d.Identity = string(bytes.TrimRight(info.Identity[:], "\x00"))
	if err == nil && d.options&unix.WDIOF_ALARMONLY != 0 {
		err = fmt.Errorf("watchdog %s (%s) raises an alarm and does not reset the machine: name another one", path, d.Identity)
	}
	if err != nil {
		_ = d.Stop() // a timer that was started for nothing
		d.Close()
		return nil, err
	}
	var status int32
	if c.ioctl(unix.WDIOC_GETBOOTSTATUS, unsafe.Pointer(&status)) == nil {
		d.CardReset = status&unix.WDIOF_CARDRESET != 0
	}
	return d, nil
}

// longest is the longest timeout that SetTimeout tries, in seconds. A device that
// takes nothing shorter is of no use to a cluster.
const longest = 60

// SetTimeout asks for a timeout of want seconds and returns what the device has. One
// that cannot count so short gets the shortest that it takes; drivers refuse or round.
func (d *Device) SetTimeout(want int) (got int, err error) {
	if d.options&unix.WDIOF_SETTIMEOUT != 0 {
		for seconds := int32(max(want, 1)); seconds <= longest; seconds++ {
			ask := seconds
			if err = d.calls.ioctl(unix.WDIOC_SETTIMEOUT, unsafe.Pointer(&ask)); !errors.Is(err, unix.EINVAL) {
				break
			}
		}
		if err != nil {
			return 0, fmt.Errorf("watchdog %s (%s): no timeout of %d to %d seconds: %w", d.path, d.Identity, want, longest, err)
		}
	}
	var have int32
	if err := d.calls.ioctl(unix.WDIOC_GETTIMEOUT, unsafe.Pointer(&have)); err != nil {
		return 0, fmt.Errorf("watchdog %s (%s): WDIOC_GETTIMEOUT: %w", d.path, d.Identity, err)
	}
	if have < 1 {
		return 0, fmt.Errorf("watchdog %s (%s): a timeout of %d seconds", d.path, d.Identity, have)
	}
	return int(have), nil
}

// Feed starts the timeout anew.
func (d *Device) Feed() error {
	if d.options&unix.WDIOF_KEEPALIVEPING == 0 {
		// An old driver: any byte but the magic one will do.
		return d.calls.write([]byte{0})
	}
	var none int32
	return d.calls.ioctl(unix.WDIOC_KEEPALIVE, unsafe.Pointer(&none))
}

// Stop stops the timer, so that the device can be closed. ErrNoWayOut: it goes on.
func (d *Device) Stop() error {
	disable := int32(unix.WDIOS_DISABLECARD)
	switch err := d.calls.ioctl(unix.WDIOC_SETOPTIONS, unsafe.Pointer(&disable)); {
	case errors.Is(err, unix.EBUSY):
		return ErrNoWayOut
	case err != nil && d.options&unix.WDIOF_MAGICCLOSE == 0:
		// A driver that knows neither call: the close itself stops it, or nothing does.
		return nil
	}
	// Also after a success: the close looks for it, and it can do no harm.
	if d.options&unix.WDIOF_MAGICCLOSE != 0 {
		if err := d.calls.write([]byte{'V'}); err != nil {
			return fmt.Errorf("watchdog %s: magic close: %w", d.path, err)
		}
	}
	return nil
}

// Close closes the device.
func (d *Device) Close() { _ = d.calls.close() }

// file is the real thing.
type file int

func (f file) ioctl(request uint, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(f), uintptr(request), uintptr(arg))
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return os.NewSyscallError("ioctl", errno)
		}
	}
}

func (f file) write(b []byte) error {
	_, err := unix.Write(int(f), b)
	return os.NewSyscallError("write", err)
}

func (f file) close() error { return unix.Close(int(f)) }
