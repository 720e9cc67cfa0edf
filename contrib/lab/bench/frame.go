package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"time"

	"github.com/creack/pty"

	"baton/contrib/lab"
)

// frames is how often the console is started.
const frames = 10

// firstFrame starts the console in a terminal of 80×24 and takes the time from exec
// until the last server's name is on the screen, and the bytes written until then and
// in the same burst (up to 15 ms of silence).
func (b *bench) firstFrame(s *settings) {
	console, err := lab.Build("baton/tui")
	if err != nil {
		b.Fatalf("%v", err)
	}
	c := lab.Start(b, lab.Interval(s.interval), lab.Timeout(s.timeout))
	var times, sizes []float64
	for range frames {
		took, size, err := frame(console, c.Get("server1").Socket())
		if err != nil {
			b.Fatalf("console: %v", err)
		}
		times, sizes = append(times, millis(took)), append(sizes, float64(size))
	}
	t, z := spreadOf(times), spreadOf(sizes)
	fmt.Printf("console, exec to first frame, 80x24    %.1f ms (%.1f to %.1f), %.0f bytes\n", t.median, t.min, t.max, z.median)
}

func frame(console, socket string) (took time.Duration, size int, err error) {
	cmd := exec.Command(console, "--socket", socket)
	cmd.Env = []string{"TERM=xterm-256color", "LANG=C.UTF-8", "PATH=/usr/bin:/bin"}
	began := time.Now()
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		return 0, 0, err
	}
	defer tty.Close()
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	chunks := make(chan []byte)
	done := make(chan struct{})
	defer close(done)
	go func() {
		defer close(chunks)
		for {
			buf := make([]byte, 1<<16)
			n, err := tty.Read(buf)
			if err != nil {
				return
			}
			select {
			case chunks <- buf[:n]:
			case <-done:
				return
			}
		}
	}()
	var all []byte
	wait := time.After(5 * time.Second)
	for {
		select {
		case chunk, ok := <-chunks:
			if !ok {
				return 0, 0, fmt.Errorf("ended after %q", all)
			}
			all = append(all, chunk...)
			if took == 0 && bytes.Contains(all, []byte("server3")) {
				took = time.Since(began)
			}
			if took != 0 {
				wait = time.After(15 * time.Millisecond)
			}
		case <-wait:
			if took == 0 {
				return 0, 0, fmt.Errorf("no frame within 5s, only %q", all)
			}
			return took, len(all), nil
		}
	}
}
