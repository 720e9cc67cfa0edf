package script

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func write(t *testing.T, body string) (path string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func spec(t *testing.T, body string) Spec {
	t.Helper()
	return Spec{
		Path: write(t, body), Log: filepath.Join(t.TempDir(), "log", "A.log"),
		Title: "start A on server1, token 7", Timeout: 20 * time.Second, Env: []string{"ARMS_EVENT=START"},
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Goal: a script gets a clean environment, "/" and /dev/null, and its output is in
// the log between a line that says what it is and one that says how it ended.
func TestRun(t *testing.T) {
	t.Setenv("SECRET", "leak")
	s := spec(t, `env; pwd; echo "input $(wc -c)"; echo complaint >&2`)
	r := Run(t.Context(), s)
	if r.Exit != 0 || r.Text != "" || r.Took <= 0 {
		t.Errorf("%+v", r)
	}
	log := read(t, s.Log)
	for _, want := range []string{"ARMS_EVENT=START\n", "HOME=", "PATH=/usr/local/sbin:", "\n/\n", "input 0\n", "complaint\n", "start A on server1, token 7: " + s.Path, "exit code 0 after"} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
	if strings.Contains(log, "leak") {
		t.Errorf("batond's environment got through:\n%s", log)
	}
}

func TestExit(t *testing.T) {
	for body, want := range map[string]struct {
		exit int
		text string
	}{
		"exit 3":       {3, "exit code 3"},
		"kill -9 $$":   {-1, "signal: killed"},
		"kill -TERM 0": {-1, "signal: terminated"},
	} {
		r := Run(t.Context(), spec(t, body))
		if r.Exit != want.exit || !strings.Contains(r.Text, want.text) {
			t.Errorf("%s: %+v", body, r)
		}
	}
	s := spec(t, "")
	if err := os.WriteFile(s.Path, []byte("#!/nonexistent/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r := Run(t.Context(), s); r.Exit != -1 || !strings.Contains(r.Text, "no such file") {
		t.Errorf("no interpreter: %+v", r)
	}
}

// A script that leaves a daemon, which keeps its output open, does not hang the run.
func TestDaemon(t *testing.T) {
	s := spec(t, "sleep 30 & echo $!")
	begin := time.Now()
	if r := Run(t.Context(), s); r.Exit != 0 {
		t.Errorf("%+v", r)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("waited %s for the daemon", took)
	}
	_ = unix.Kill(pidIn(t, s.Log), unix.SIGKILL)
}

// pidIn finds the line that is a pid.
func pidIn(t *testing.T, log string) int {
	t.Helper()
	for line := range strings.Lines(read(t, log)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			return pid
		}
	}
	t.Fatalf("no pid in %s:\n%s", log, read(t, log))
	return 0
}

// Timeout: TERM first, which a script may answer, then KILL for the whole process group.
func TestTimeout(t *testing.T) {
	if Grace != 5*time.Second {
		t.Errorf("between TERM and KILL are %s, the specification has 5s", Grace)
	}
	s := spec(t, `trap 'echo got TERM; exit 0' TERM; sleep 100 & wait`)
	s.Timeout = 300 * time.Millisecond
	r := Run(t.Context(), s)
	if r.Exit != -1 || !strings.Contains(r.Text, "script_timeout 300ms") {
		t.Errorf("%+v", r)
	}
	if log := read(t, s.Log); !strings.Contains(log, "got TERM") || !strings.Contains(log, "script_timeout") {
		t.Errorf("log:\n%s", log)
	}

	s = spec(t, `trap '' TERM; sleep 100 & echo $!; wait; sleep 100`)
	s.Timeout, s.Grace = 300*time.Millisecond, 100*time.Millisecond
	if r := Run(t.Context(), s); r.Exit != -1 {
		t.Errorf("%+v", r)
	}
	pid := pidIn(t, s.Log)
	for end := time.Now().Add(5 * time.Second); unix.Kill(pid, 0) == nil && !zombie(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("child %d outlived the KILL of its process group", pid)
		}
	}
}

func zombie(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || bytes.Contains(b, []byte(") Z "))
}

func TestCancel(t *testing.T) {
	s := spec(t, "sleep 100")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(200*time.Millisecond, func() { cancel(errors.New("no longer wanted")) })
	if r := Run(ctx, s); r.Exit != -1 || !strings.Contains(r.Text, "no longer wanted") {
		t.Errorf("%+v", r)
	}
}

// Who can write the script, or its way, is batond; so nobody else may.
func TestTrust(t *testing.T) {
	chmod := func(mode os.FileMode) func(string) {
		return func(p string) {
			if err := os.Chmod(p, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := func(do func(string)) func(string) {
		return func(p string) { do(filepath.Dir(p)) }
	}
	for name, c := range map[string]struct {
		do   func(path string)
		want string
	}{
		"good":                 {func(string) {}, ""},
		"world may write":      {chmod(0o757), "chmod go-w"},
		"group may write":      {chmod(0o775), "chmod go-w"},
		"not executable":       {chmod(0o644), "chmod +x"},
		"directory for all":    {dir(chmod(0o777)), "chmod go-w"},
		"sticky directory":     {dir(chmod(0o777 | os.ModeSticky)), ""},
		"missing":              {func(p string) { os.Remove(p) }, "no such file"},
		"a directory":          {func(p string) { os.Remove(p); os.Mkdir(p, 0o755) }, "not a regular file"},
		"link to a good one":   {func(p string) { os.Rename(p, p+"2"); os.Symlink(p+"2", p) }, ""},
		"link to a bad one":    {func(p string) { os.Rename(p, p+"2"); chmod(0o777)(p + "2"); os.Symlink("script2", p) }, "chmod go-w"},
		"link through bad dir": {func(p string) { badLink(t, p) }, "chmod go-w"},
	} {
		path := write(t, "true")
		c.do(path)
		err := Trust(path)
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		_ = os.Chmod(filepath.Dir(path), 0o755)
	}
	if err := Trust("bin/true"); err == nil {
		t.Error("a relative path passes")
	}
	path := write(t, "true")
	if os.Geteuid() == 0 && os.Chown(path, 12345, 0) == nil {
		if err := Trust(path); err == nil || !strings.Contains(err.Error(), "uid 12345") {
			t.Errorf("another user's script: %v", err)
		}
	}
	if r := Run(t.Context(), Spec{Path: "/nonexistent", Timeout: time.Second}); r.Exit != -1 {
		t.Errorf("%+v", r)
	}
}

// badLink lets the script be found by a link that lies in a directory for all.
func badLink(t *testing.T, path string) {
	t.Helper()
	bad := filepath.Join(filepath.Dir(path), "bad")
	for _, err := range []error{
		os.Rename(path, path+"2"), os.Mkdir(bad, 0o755), os.Symlink(path+"2", filepath.Join(bad, "link")),
		os.Symlink(filepath.Join(bad, "link"), path), os.Chmod(bad, 0o777),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A log that has grown is moved aside while a daemon goes on writing to it.
func TestTrim(t *testing.T) {
	path := filepath.Join(t.TempDir(), "A.log")
	daemon, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	line := []byte(strings.Repeat("x", 1023) + "\n")
	for round := range 5 {
		for range LogSize/1024 + 5 {
			if _, err := daemon.Write(line); err != nil {
				t.Fatal(err)
			}
		}
		daemon.WriteString("end of round\n")
		if err := Trim(path); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if st, err := os.Stat(path); err != nil || st.Size() != 0 {
			t.Fatalf("round %d: %v, %v", round, st, err)
		}
	}
	daemon.WriteString("now\n")
	if got := read(t, path); got != "now\n" {
		t.Errorf("after the cut the daemon's line is %q", got)
	}
	names, _ := filepath.Glob(path + "*")
	if len(names) != 1+logsKept {
		t.Errorf("kept %v", names)
	}
	if old := read(t, path+".3"); len(old) != LogSize || !strings.HasSuffix(old, "end of round\n") {
		t.Errorf("oldest has %d bytes", len(old))
	}
	if err := Trim(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error(err)
	}
}

// The end of a log is whole lines, and goes back over a cut.
func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "A.log")
	check := func(what string, most int, want string) {
		t.Helper()
		if got, err := Tail(path, most); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", what, got, err, want)
		}
	}
	put := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check("no log", 100, "")
	put(path, "one\ntwo\nthree\n")
	check("all", 100, "one\ntwo\nthree\n")
	check("a part", 11, "two\nthree\n")
	check("within a line", 9, "three\n")
	put(path+".1", "long ago\nbefore\n")
	check("over the cut", 25, "before\none\ntwo\nthree\n")
}
