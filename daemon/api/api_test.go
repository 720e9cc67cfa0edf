package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/core/cluster"
)

var nobodyElse = Permissions{Own: os.Getuid(), Operate: -1, View: -1}

func TestStatusAndOperatorFlag(t *testing.T) {
	b := newFake()
	c, _ := serve(t, b, nobodyElse)
	got, err := c.Status(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if got.Cluster != "c" || got.Revision != 1 || !got.Operator {
		t.Errorf("status = %+v, want cluster c, revision 1, operator", got)
	}
	if b.pic.Operator {
		t.Error("the backend's picture was written to")
	}
}

// A watcher sees the first picture at once and later ones as they come; one that does
// not look gets the newest only.
func TestWatch(t *testing.T) {
	ctx := testContext(t)
	b := newFake()
	c, _ := serve(t, b, nobodyElse)
	w, err := c.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := w.Next(ctx); err != nil || p.Revision != 1 {
		t.Fatalf("first picture = %+v, %v; want revision 1", p, err)
	}
	big := strings.Repeat("x", 200_000) // more than socket buffers hold of a few of them
	for range 50 {
		b.show(func(s *Status) { s.Waiting = big })
	}
	b.show(func(s *Status) { s.Waiting = "" })
	seen := 0
	for {
		p, err := w.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		seen++
		if p.Revision == 52 {
			break
		}
	}
	if seen > 40 {
		t.Errorf("%d pictures, want those that nobody waits for left out", seen)
	}
	w.Close()
	waitFor(t, func() bool { return b.watchers() == 0 }, "the stream ends on the server when the client closes it")
}

// A context that ends Next leaves the stream alone.
func TestNextGivenUp(t *testing.T) {
	ctx := testContext(t)
	b := newFake()
	c, _ := serve(t, b, nobodyElse)
	w, err := c.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Next(ctx); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := w.Next(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Next = %v, want deadline exceeded", err)
	}
	b.show(func(*Status) {})
	if p, err := w.Next(ctx); err != nil || p.Revision != 2 {
		t.Errorf("Next after that = %+v, %v; want revision 2", p, err)
	}
}

func TestDaemonEndsUnderStream(t *testing.T) {
	ctx := testContext(t)
	b := newFake()
	c, s := serve(t, b, nobodyElse)
	w, err := c.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	f, err := c.Follow(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.Close(ctx); err != nil {
		t.Fatalf("close with two streams open: %v", err)
	}
	for range 2 { // the first picture may still be there
		if _, err = w.Next(ctx); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrNoDaemon) {
		t.Errorf("watch: %v, want ErrNoDaemon", err)
	}
	if _, err := f.Next(ctx); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("follow: %v, want ErrNoDaemon", err)
	}
	if _, err := c.Status(ctx); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("status: %v, want ErrNoDaemon", err)
	}
	if _, err := os.Lstat(c.Socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket file after close: %v, want none", err)
	}
}

func TestEvents(t *testing.T) {
	ctx := testContext(t)
	b := newFake()
	c, _ := serve(t, b, nobodyElse)
	if got, err := c.Events(ctx, 0, 0); err != nil || got == nil || len(got) != 0 {
		t.Errorf("no events = %v, %v; want an empty list", got, err)
	}
	for id := uint64(10); id <= 50; id += 10 {
		b.happen(id)
	}
	for _, tc := range []struct {
		after uint64
		limit int
		want  []uint64
	}{
		{0, 0, []uint64{10, 20, 30, 40, 50}},
		{0, 2, []uint64{40, 50}},
		{20, 2, []uint64{30, 40}},
		{25, 0, []uint64{30, 40, 50}},
		{50, 0, nil},
	} {
		ev, err := c.Events(ctx, tc.after, tc.limit)
		if got := ids(ev); err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("events after %d, limit %d = %v, %v; want %v", tc.after, tc.limit, got, err, tc.want)
		}
	}

	f, err := c.Follow(ctx, 40)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, want := range []uint64{50, 60, 70, 80} {
		if i > 0 {
			b.happen(want)
		}
		ev, err := f.Next(ctx)
		if err != nil || ev.ID != want {
			t.Fatalf("followed %+v, %v; want event %d", ev, err, want)
		}
	}
}

// No event is lost or comes twice while many come at the same time.
func TestFollowBurst(t *testing.T) {
	ctx := testContext(t)
	b := newFake()
	c, _ := serve(t, b, nobodyElse)
	b.happen(1)
	f, err := c.Follow(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const n = 2000
	go func() {
		for id := uint64(2); id <= n; id++ {
			b.happen(id)
		}
	}()
	for want := uint64(1); want <= n; want++ {
		ev, err := f.Next(ctx)
		if err != nil || ev.ID != want {
			t.Fatalf("followed %+v, %v; want event %d", ev, err, want)
		}
	}
}

func ids(ev []cluster.Event) []uint64 {
	var out []uint64
	for _, e := range ev {
		out = append(out, e.ID)
	}
	return out
}

func TestOperate(t *testing.T) {
	ctx := testContext(t)
	b := newFake()
	c, _ := serve(t, b, nobodyElse)
	a, err := c.Operate(ctx, Operation{Verb: cluster.VerbMove, Group: "A", Server: "s2", Revision: 7, From: "pts/3\x1b[2J from\n 10.0.0.9"})
	if err != nil || a.ID == "" {
		t.Fatalf("operate = %+v, %v", a, err)
	}
	got := b.asked[0]
	if got.ID != a.ID || got.Verb != cluster.VerbMove || got.Group != "A" || got.Server != "s2" || got.Revision != 7 {
		t.Errorf("asked for %+v", got)
	}
	if got.Who.UID != os.Getuid() || got.Who.User == "" || got.Who.Says != "pts/3[2J from 10.0.0.9" {
		t.Errorf("who = %+v, want this user, without control characters", got.Who)
	}

	if a, err := c.Operate(ctx, Operation{Verb: cluster.VerbStop, Group: "A", Dry: true}); err != nil || a.ID != "" || len(b.asked) != 1 {
		t.Errorf("dry = %+v, %v, %d asked for; want nothing asked for", a, err, len(b.asked))
	}
}

func TestOperateRefused(t *testing.T) {
	ctx := testContext(t)
	b := newFake()
	c, _ := serve(t, b, nobodyElse)
	for code, status := range map[string]int{"group-busy": 409, CodeNoQuorum: 503, CodeNoAnswer: 503, CodeStopping: 503} {
		want := Error{Code: code, Message: "m", Hint: "h"}
		b.refuse = &want
		_, err := c.Operate(ctx, Operation{Verb: cluster.VerbStop, Group: "A"})
		if e, ok := errors.AsType[*Error](err); !ok || *e != want {
			t.Errorf("operate: %v, want %v", err, want)
		}
		resp, err := c.request(ctx, "POST", "/v1/operations", []byte(`{"verb":"stop","group":"A","dry":true}`))
		if err == nil {
			resp.Body.Close()
			t.Errorf("dry: status %d, want an error", resp.StatusCode)
		}
		if got := raw(t, c, "POST", "/v1/operations", `{"verb":"stop","group":"A"}`); got != status {
			t.Errorf("status of %s = %d, want %d", code, got, status)
		}
	}
}

func TestBadRequests(t *testing.T) {
	b := newFake()
	c, _ := serve(t, b, nobodyElse)
	for _, tc := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/v1/operations", ``, 400},
		{"POST", "/v1/operations", `{`, 400},
		{"POST", "/v1/operations", `{"verb":"stop","group":"A"} {}`, 400},
		{"POST", "/v1/operations", `{"verb":"stop","group":"A","force":true}`, 400},
		{"POST", "/v1/operations", `{"verb":"explode","group":"A"}`, 400},
		{"POST", "/v1/operations", `{"verb":"stop"}`, 400},
		{"POST", "/v1/operations", `{"verb":"return"}`, 400},
		{"POST", "/v1/operations", `{"verb":"return","server":"s","group":"A"}`, 400},
		{"POST", "/v1/operations", `{"verb":"shutdown-cluster","server":"s"}`, 400},
		{"POST", "/v1/operations", `{"verb":"stop","group":"A\u0007"}`, 400},
		{"POST", "/v1/operations", `{"verb":"stop","group":"` + strings.Repeat("A", 70_000) + `"}`, 413},
		{"GET", "/v1/operations", ``, 405},
		{"POST", "/v1/status", ``, 405},
		{"DELETE", "/v1/events", ``, 405},
		{"GET", "/v1/nothing", ``, 404},
		{"GET", "/", ``, 404},
		{"GET", "/v1/events?limit=0", ``, 400},
		{"GET", "/v1/events?limit=100000", ``, 400},
		{"GET", "/v1/events?after=x", ``, 400},
		{"GET", "/v1/events?after=-1&follow=1", ``, 400},
		{"GET", "/v1/operations/none", ``, 404},
		{"GET", "/v1/operations/none?wait=1h", ``, 400},
		{"GET", "/v1/operations/none?wait=5", ``, 400},
	} {
		if got := raw(t, c, tc.method, tc.path, tc.body); got != tc.want {
			t.Errorf("%s %s %.60s = %d, want %d", tc.method, tc.path, tc.body, got, tc.want)
		}
	}
	if len(b.asked) != 0 {
		t.Errorf("%d operations asked for, want none", len(b.asked))
	}
}

// raw makes a request and checks that an error is an api.Error.
func raw(t *testing.T, c *Client, method, path, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(testContext(t), method, "http://batond"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 400 && (!bytes.HasPrefix(b, []byte(`{"code":"`)) || !bytes.Contains(b, []byte(`"message":"`))) {
		t.Errorf("%s %s: body %q is no api.Error", method, path, b)
	}
	return resp.StatusCode
}

func TestOperationWait(t *testing.T) {
	ctx := testContext(t)
	b := newFake()
	c, _ := serve(t, b, nobodyElse)
	done := make(chan cluster.Op, 1)
	go func() {
		op, err := c.Wait(ctx, "abc")
		if err != nil {
			t.Error(err)
		}
		done <- op
	}()
	waitFor(t, func() bool { return b.watchers() > 0 }, "a wait for an operation that is not known yet goes on watching")
	b.show(func(s *Status) { s.Ops = []cluster.Op{{ID: "abc", State: cluster.OpRunning}} })
	if op, err := c.Operation(ctx, "abc", 0); err != nil || op.State != cluster.OpRunning {
		t.Errorf("operation = %+v, %v; want running", op, err)
	}
	if op, err := c.Operation(ctx, "abc", 20*time.Millisecond); err != nil || op.State != cluster.OpRunning {
		t.Errorf("operation after a short wait = %+v, %v; want running", op, err)
	}
	b.show(func(s *Status) { s.Ops[0].State = cluster.OpDone })
	select {
	case op := <-done:
		if op.State != cluster.OpDone {
			t.Errorf("waited for %+v, want done", op)
		}
	case <-ctx.Done():
		t.Fatal("the wait did not end with the operation")
	}
	_, err := c.Operation(ctx, "never", 30*time.Millisecond)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeNotFound {
		t.Errorf("unknown operation: %v, want not-found", err)
	}
}

func TestNoDaemon(t *testing.T) {
	ctx := testContext(t)
	dir := t.TempDir()
	if _, err := Dial(filepath.Join(dir, "none.sock")).Status(ctx); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("no socket: %v, want ErrNoDaemon", err)
	}
	stale := filepath.Join(dir, "stale.sock")
	leaveStale(t, stale)
	if _, err := Dial(stale).Watch(ctx); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("stale socket: %v, want ErrNoDaemon", err)
	}
}

// leaveStale leaves a socket file as a killed daemon does.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestSocketInTheWay(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "batond.sock")
	start := func() (*Service, error) {
		return New(Config{Socket: path, Backend: newFake(), Permissions: nobodyElse})
	}

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := start(); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file in the way: %v, want an error", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Error("the file in the way was touched")
	}
	os.Remove(path)

	leaveStale(t, path)
	s, err := start()
	if err != nil {
		t.Fatalf("stale socket: %v, want it replaced", err)
	}
	_, err = start()
	if want := fmt.Sprintf("process %d", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("live socket: %v, want an error that names %s", err, want)
	}
	if _, err := Dial(path).Status(testContext(t)); err != nil {
		t.Errorf("the live one after that: %v", err)
	}

	// Somebody replaces the file: closing leaves his alone.
	os.Remove(path)
	leaveStale(t, path)
	if err := s.Close(testContext(t)); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("another's socket was removed: %v", err)
	}
}

func TestTooManyConnections(t *testing.T) {
	ctx := testContext(t)
	b := newFake()
	c, _ := serve(t, b, nobodyElse)
	var held []net.Conn
	for range maxConnsPerUser {
		conn, err := net.Dial("unix", c.Socket())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	_, err := c.Status(ctx)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeTooBusy {
		t.Errorf("connection %d: %v, want too-busy", maxConnsPerUser+1, err)
	}
	for _, conn := range held {
		conn.Close()
	}
	waitFor(t, func() bool { _, err := c.Status(ctx); return err == nil }, "closed connections make room")
}

func waitFor(t *testing.T, ok func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so within 10s: %s", what)
		}
	}
}
