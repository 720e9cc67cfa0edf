// The bench measures, in one run on virtual servers (package lab), what a client and a
// machine notice of baton: outages by what causes them, the cost of idling, the
// console's first frame. Times are wall clock on the machine that it runs on, so it
// prints that machine as well; nothing else should be going on there.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"baton/contrib/lab"
)

func main() {
	lab.Enter()
	os.Exit(run())
}

type settings struct {
	rounds            int
	interval, timeout time.Duration
	idle              time.Duration
	only              string
}

func run() (code int) {
	var s settings
	flag.IntVar(&s.rounds, "n", 7, "rounds of each outage")
	flag.DurationVar(&s.interval, "interval", 100*time.Millisecond, "heartbeat.interval")
	flag.DurationVar(&s.timeout, "timeout", time.Second, "heartbeat.timeout")
	flag.DurationVar(&s.idle, "idle", 20*time.Second, "how long to watch an idle cluster")
	flag.StringVar(&s.only, "only", "", "a part alone: the first word of a line of the output")
	flag.Parse()
	if err := lab.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	fmt.Printf("%s, %d CPUs, %s\n", kernel(), runtime.NumCPU(), runtime.Version())
	fmt.Printf("3 servers where a row names no other number, 1 interconnect and the public LAN, disks on a file system; heartbeat every %s, timeout %s\n\n", s.interval, s.timeout)
	fmt.Printf("%-36s %8s %8s %8s   %s\n", "client-visible outage, ms", "median", "min", "max", "old owner's last ARP answer to new one's first, ms")
	for _, o := range outages {
		if s.wants(o.name) {
			code |= part(func(b *bench) { b.outage(&s, o) })
		}
	}
	for _, kind := range []string{"witness", "disk", "ping"} {
		if s.wants("power cut, 2 servers, " + kind) {
			code |= part(func(b *bench) { b.half(&s, kind) })
		}
	}
	fmt.Println()
	if s.wants("idle") {
		code |= part(func(b *bench) { b.idleCost(&s) })
	}
	if s.wants("commands") {
		code |= part(func(b *bench) { b.commands(&s) })
	}
	if s.wants("console") {
		code |= part(func(b *bench) { b.firstFrame(&s) })
	}
	return code
}

func (s *settings) wants(name string) bool {
	return s.only == "" || strings.HasPrefix(name, s.only)
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "Linux"
	}
	return "Linux " + unix.ByteSliceToString(u.Release[:])
}

// bench is the lab.TB of a measurement. What cannot be done ends that part.
type bench struct {
	cleanups []func()
	failed   bool
}

// broken is what Fatalf panics with.
type broken struct{ text string }

// part runs one measurement and everything that has to be done after it.
func part(f func(*bench)) (code int) {
	b := &bench{}
	defer func() {
		if r := recover(); r != nil {
			why, ok := r.(broken)
			if !ok {
				panic(r)
			}
			fmt.Fprintf(os.Stderr, "bench: %s\n", why.text)
			code = 1
		}
		for _, c := range slices.Backward(b.cleanups) {
			c()
		}
		if b.failed {
			code = 1
		}
	}()
	f(b)
	return code
}

func (b *bench) Helper()                         {}
func (b *bench) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (b *bench) Errorf(format string, args ...any) {
	b.failed = true
	b.Logf(format, args...)
}

func (b *bench) Fatalf(format string, args ...any) {
	b.failed = true
	panic(broken{fmt.Sprintf(format, args...)})
}
func (b *bench) Skipf(format string, args ...any) { b.Fatalf(format, args...) }
func (b *bench) Cleanup(f func())                 { b.cleanups = append(b.cleanups, f) }
func (b *bench) Failed() bool                     { return b.failed }

// spread is median, least and greatest.
type spread struct{ median, min, max float64 }

func spreadOf(values []float64) spread {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	if n == 0 {
		return spread{}
	}
	return spread{median: (v[(n-1)/2] + v[n/2]) / 2, min: v[0], max: v[n-1]}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
