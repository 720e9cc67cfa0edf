package watchdog

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// model is what watchdog_dev.c and a driver do, as far as it shows: the timer runs
// from open on, 'V' lets the next close stop it, nowayout lets nothing stop it.
type model struct {
	options   uint32
	min, max  int32 // of the timeout; max 0: any
	timeout   int32
	nowayout  bool
	noOptions bool // WDIOC_SETOPTIONS is not known
	rounds    bool // a timeout out of range is rounded, not refused
	boot      int32

	running bool
	release bool // the magic character was written
	closed  bool
	fed     int
	log     []string
}

func (m *model) ioctl(request uint, arg unsafe.Pointer) error {
	value := (*int32)(arg)
	switch request {
	case unix.WDIOC_GETSUPPORT:
		info := (*unix.WatchdogInfo)(arg)
		info.Options = m.options
		copy(info.Identity[:], "Model Watchdog")
	case unix.WDIOC_GETBOOTSTATUS:
		*value = m.boot
	case unix.WDIOC_SETOPTIONS:
		switch {
		case m.noOptions:
			return unix.ENOTTY
		case *value&unix.WDIOS_DISABLECARD != 0 && m.nowayout:
			return unix.EBUSY
		case *value&unix.WDIOS_DISABLECARD != 0:
			m.running = false
		}
	case unix.WDIOC_KEEPALIVE:
		if m.options&unix.WDIOF_KEEPALIVEPING == 0 {
			return unix.EOPNOTSUPP
		}
		m.fed++
	case unix.WDIOC_SETTIMEOUT:
		m.log = append(m.log, fmt.Sprint("set ", *value))
		switch {
		case m.options&unix.WDIOF_SETTIMEOUT == 0:
			return unix.EOPNOTSUPP
		case *value < m.min && m.rounds:
			m.timeout = m.min
		case *value < m.min || m.max != 0 && *value > m.max:
			return unix.EINVAL
		default:
			m.timeout = *value
		}
		*value = m.timeout
		m.fed++
	case unix.WDIOC_GETTIMEOUT:
		*value = m.timeout
	default:
		return unix.ENOTTY
	}
	return nil
}

func (m *model) write(b []byte) error {
	m.release = false
	for _, c := range b {
		m.release = m.release || c == 'V'
	}
	m.fed++
	return nil
}

func (m *model) close() error {
	if (m.release || m.options&unix.WDIOF_MAGICCLOSE == 0) && !m.nowayout {
		m.running = false
	}
	m.closed = true
	return nil
}

const usual = unix.WDIOF_SETTIMEOUT | unix.WDIOF_MAGICCLOSE | unix.WDIOF_KEEPALIVEPING

// fires says whether the machine would be reset, the device being closed and unfed.
func (m *model) fires() bool { return m.running }

// Goal: the timeout is what was asked for, or the shortest that the device has.
func TestSetTimeout(t *testing.T) {
	for _, c := range []struct {
		name      string
		m         model
		want, got int // got 0: an error
	}{
		{"any", model{options: usual, min: 1, timeout: 60}, 2, 2},
		{"nothing is asked for as 1", model{options: usual, min: 1, timeout: 60}, 0, 1},
		{"refuses what is too short", model{options: usual, min: 4, timeout: 30}, 2, 4},
		{"rounds what is too short", model{options: usual, min: 4, rounds: true, timeout: 30}, 2, 4},
		{"cannot be set", model{options: unix.WDIOF_MAGICCLOSE, timeout: 30}, 2, 30},
		{"far too long", model{options: usual, min: 300, timeout: 300}, 2, 0},
		{"knows none", model{options: unix.WDIOF_MAGICCLOSE, timeout: 0}, 2, 0},
	} {
		d, err := open("w", &c.m)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := d.SetTimeout(c.want)
		if got != c.got || (err == nil) != (c.got != 0) {
			t.Errorf("%s: %d, %v; want %d", c.name, got, err, c.got)
		}
	}
}

// Goal: after Stop the machine is left alone, by every kind of driver; without Stop it
// is reset; where Stop cannot be, it says so.
func TestStop(t *testing.T) {
	for _, c := range []struct {
		name string
		m    model
		stop bool
		err  error
		left bool // fires after the close
	}{
		{"usual", model{options: usual}, true, nil, false},
		{"usual, not stopped", model{options: usual}, false, nil, true},
		{"nowayout", model{options: usual, nowayout: true}, true, ErrNoWayOut, true},
		{"without WDIOC_SETOPTIONS", model{options: usual, noOptions: true}, true, nil, false},
		{"without magic close", model{options: usual &^ unix.WDIOF_MAGICCLOSE}, true, nil, false},
		{"without either", model{options: usual &^ unix.WDIOF_MAGICCLOSE, noOptions: true}, true, nil, false},
	} {
		c.m.running = true
		d, err := open("w", &c.m)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Feed(); err != nil || c.m.fed != 1 {
			t.Errorf("%s: fed %d, %v", c.name, c.m.fed, err)
		}
		if c.stop {
			if err := d.Stop(); !errors.Is(err, c.err) {
				t.Errorf("%s: Stop() = %v, want %v", c.name, err, c.err)
			}
		}
		d.Close()
		if c.m.fires() != c.left || !c.m.closed {
			t.Errorf("%s: fires %t, want %t", c.name, c.m.fires(), c.left)
		}
	}
}

// Goal: an old driver without the ping is fed by writing, and not by the magic character.
func TestFeedByWriting(t *testing.T) {
	m := &model{options: unix.WDIOF_MAGICCLOSE, running: true}
	d, err := open("w", m)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Feed(); err != nil || m.fed != 1 || m.release {
		t.Errorf("fed %d, release %t, %v", m.fed, m.release, err)
	}
}

// Goal: what is no watchdog, or none that resets, is refused, and not left running.
func TestOpen(t *testing.T) {
	alarm := &model{options: usual | unix.WDIOF_ALARMONLY, running: true}
	if _, err := open("w", alarm); err == nil || !strings.Contains(err.Error(), "does not reset") || alarm.fires() || !alarm.closed {
		t.Errorf("alarm only: %v, fires %t", err, alarm.fires())
	}
	reset := &model{options: usual, boot: unix.WDIOF_CARDRESET}
	if d, err := open("w", reset); err != nil || !d.CardReset || d.Identity != "Model Watchdog" {
		t.Errorf("after a reset: %+v, %v", d, err)
	}
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "watchdog")); err == nil || !strings.Contains(err.Error(), "load the driver") {
		t.Errorf("none: %v", err)
	}
	plain := filepath.Join(dir, "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(plain); err == nil || !strings.Contains(err.Error(), "is none") {
		t.Errorf("a file: %v", err)
	}
}

// Goal: numbers and layout are those of the kernel's header. Method: the C compiler of
// this machine prints them.
func TestHeader(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler; TestNumbers remains")
	}
	dir := t.TempDir()
	src := filepath.Join(dir, "w.c")
	names := []string{
		"WDIOC_GETSUPPORT", "WDIOC_GETBOOTSTATUS", "WDIOC_SETOPTIONS", "WDIOC_KEEPALIVE", "WDIOC_SETTIMEOUT", "WDIOC_GETTIMEOUT",
		"WDIOF_CARDRESET", "WDIOF_SETTIMEOUT", "WDIOF_MAGICCLOSE", "WDIOF_KEEPALIVEPING", "WDIOF_ALARMONLY", "WDIOS_DISABLECARD",
	}
	var b strings.Builder
	b.WriteString("#include <stdio.h>\n#include <stddef.h>\n#include <linux/watchdog.h>\nint main(void) {\n")
	for _, n := range names {
		fmt.Fprintf(&b, "printf(\"%%lu\\n\", (unsigned long)(unsigned)%s);\n", n)
	}
	b.WriteString("struct watchdog_info i;\nprintf(\"%zu\\n%zu\\n%zu\\n%zu\\n\", sizeof i, offsetof(struct watchdog_info, options), offsetof(struct watchdog_info, identity), sizeof i.identity);\nreturn 0; }\n")
	if err := os.WriteFile(src, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "w")
	if out, err := exec.Command(cc, "-o", bin, src).CombinedOutput(); err != nil {
		t.Skipf("no kernel headers: %v\n%s", err, out)
	}
	out, err := exec.Command(bin).Output()
	if err != nil {
		t.Fatal(err)
	}
	var info unix.WatchdogInfo
	want := []uint64{
		unix.WDIOC_GETSUPPORT, unix.WDIOC_GETBOOTSTATUS, unix.WDIOC_SETOPTIONS, unix.WDIOC_KEEPALIVE, unix.WDIOC_SETTIMEOUT, unix.WDIOC_GETTIMEOUT,
		unix.WDIOF_CARDRESET, unix.WDIOF_SETTIMEOUT, unix.WDIOF_MAGICCLOSE, unix.WDIOF_KEEPALIVEPING, unix.WDIOF_ALARMONLY, unix.WDIOS_DISABLECARD,
		uint64(unsafe.Sizeof(info)), uint64(unsafe.Offsetof(info.Options)), uint64(unsafe.Offsetof(info.Identity)), uint64(len(info.Identity)),
	}
	got := strings.Fields(string(out))
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d: %q", len(got), len(want), got)
	}
	for i, w := range want {
		if got[i] != fmt.Sprint(w) {
			t.Errorf("line %d: the header says %s, we %d", i, got[i], w)
		}
	}
}

// The same by _IOR and _IOWR of asm-generic/ioctl.h, which all but a few old
// architectures have: direction, size, letter, number.
func TestNumbers(t *testing.T) {
	if unix.WDIOC_GETSUPPORT>>30 != 2 {
		t.Skip("an architecture with another asm/ioctl.h")
	}
	ioc := func(dir, nr, size uint32) uint32 { return dir<<30 | size<<16 | 'W'<<8 | nr }
	for nr, c := range map[uint32]struct{ dir, size, got uint32 }{
		0: {2, 40, unix.WDIOC_GETSUPPORT}, 2: {2, 4, unix.WDIOC_GETBOOTSTATUS}, 4: {2, 4, unix.WDIOC_SETOPTIONS},
		5: {2, 4, unix.WDIOC_KEEPALIVE}, 6: {3, 4, unix.WDIOC_SETTIMEOUT}, 7: {2, 4, unix.WDIOC_GETTIMEOUT},
	} {
		if want := ioc(c.dir, nr, c.size); c.got != want {
			t.Errorf("ioctl %d: %#x, want %#x", nr, c.got, want)
		}
	}
}
