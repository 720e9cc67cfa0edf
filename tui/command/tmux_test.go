package command

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/stage"
)

// tmux is a terminal by somebody else: its idea of how wide characters are does not
// come from the libraries that the console was laid out with.
type tmux struct {
	t      *testing.T
	socket string
}

func (m *tmux) run(args ...string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "tmux", append([]string{"-S", m.socket, "-f", "/dev/null", "-u"}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm-256color", "TMUX=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("tmux %v: %v: %s", args, err, out)
	}
	return string(out)
}

func (m *tmux) screen() string { return m.run("capture-pane", "-p", "-t", "console") }

func (m *tmux) keys(k ...string) {
	m.t.Helper()
	m.run(append([]string{"send-keys", "-t", "console"}, k...)...)
}

// shows polls until the screen has the text.
func (m *tmux) shows(want string) string {
	m.t.Helper()
	var s string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if s = m.screen(); strings.Contains(s, want) {
			return s
		}
	}
	m.t.Fatalf("%q is not shown:\n%s", want, s)
	return ""
}

// An operator's session, key by key, in Japanese with wide names: look, stop a group
// by typing its name, watch a server fail, quit.
func TestTmux(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed: this test asks a terminal that is not ours")
	}
	d, socket := play(t, old())
	d.Answer(func(op cluster.Op) error {
		d.Show(func(st *api.Status) {
			g := &st.Groups[1]
			g.State, g.Server, g.Wanted, g.Reason = string(cluster.GroupStopped), "", false, "stopped by "+op.Who.User
			op.State, op.Begun, op.Ended = cluster.OpDone, 1000, 4200
			st.Ops = append(st.Ops, op)
		})
		return nil
	})
	dir := filepath.Dir(socket)
	m := &tmux{t: t, socket: filepath.Join(dir, "tmux")}
	m.run("new-session", "-d", "-s", "console", "-x", "80", "-y", "24",
		"env -u LC_ALL BATON_TEST_IS_BATON=1 LANG=ja_JP.UTF-8 TZ=UTC BATON_SOCKET="+socket+" "+os.Args[0]+"; echo ended; sleep 60")
	t.Cleanup(func() {
		exec.Command("tmux", "-S", m.socket, "kill-server").Run()
	})
	m.run("set-option", "-g", "escape-time", "0")

	s := m.shows("path lan2 from node2 is lost")
	// Every row of the boxes ends in the last column, wide names or not.
	for i, l := range strings.Split(s, "\n") {
		if i >= 2 && i <= 10 && !strings.HasSuffix(l, "│") && !strings.HasSuffix(l, "┐") && !strings.HasSuffix(l, "┘") {
			t.Errorf("row %d is out of line: %q", i+1, l)
		}
	}
	if !strings.Contains(s, "┌─ ● node1 稼働中 ────────┐┌─ ● node2 稼働中 ────────┐┌─ ● node3 稼働中 ───────┐") {
		t.Errorf("the boxes' titles:\n%s", s)
	}
	m.keys("j")
	m.shows("> 受注API")
	m.keys("S")
	m.shows("グループ 受注API の停止")
	m.keys("受注", "Enter")
	m.keys("API", "Enter")
	m.shows("stop 受注API: 完了 (3.2 s)")
	s = m.shows("> 受注API □ 停止")
	if got := len(d.Asked()); got != 1 {
		t.Errorf("%d operations were asked for:\n%s", got, s)
	}
	d.Show(func(st *api.Status) { *st = *stage.OneDown(time.Now(), 3) })
	m.shows("× node3 故障")
	m.run("resize-window", "-t", "console", "-x", "120", "-y", "40")
	s = m.shows("フローティングIP")
	if !strings.Contains(s, "┌─ × node3 故障 ─") {
		t.Errorf("after the resize:\n%s", s)
	}
	m.keys("q")
	if s = m.shows("ended"); strings.Contains(s, "node1") {
		t.Errorf("the screen is not given back:\n%s", s)
	}
}
