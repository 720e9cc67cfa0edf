// Package cgroup keeps the processes of every failover group together, so that all
// of them can be found and killed.
//
// There are two ways. Where a cgroup v2 hierarchy can be written, a group's scripts
// and its step child live in cgroups of their own below the cgroup of batond, and one
// write to cgroup.kill ends them (Documentation/admin-guide/cgroup-v2.rst, "cgroup.kill").
// In any case every such process carries BATON_GROUP_MARK in its environment, and a
// scan of /proc finds it. The scan alone serves where cgroups cannot be written, as
// in a user namespace.
//
// What escapes: a process that leaves the cgroup (su and sudo do so by pam_systemd)
// and has dropped its environment too; without cgroups, one that dropped its
// environment; and whatever a script asks another daemon to start (systemctl start).
//
// It decides nothing. batond, the guard and the step child each work on a Place,
// which is plain data and may be used from any goroutine.
package cgroup

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// MarkName is the environment variable that every process of a group carries, and
// StepName the one that only step children carry besides it.
const (
	MarkName = "BATON_GROUP_MARK"
	StepName = "BATON_STEP"
)

// Place is where the groups of one server keep their processes.
type Place struct {
	// Dir is the directory of the cgroup that holds those of all groups; "" where
	// cgroup v2 cannot be used.
	Dir string `json:"dir,omitempty"`
	// Mark begins the value of BATON_GROUP_MARK; the group's name follows.
	Mark string `json:"mark"`
	// Why says why there is no Dir.
	Why string `json:"why,omitempty"`
}

// Params say whose groups these are.
type Params struct {
	Cluster, Server string
	// StateDir must exist. It tells apart several batonds of the same names on one
	// machine: one must never kill what belongs to another.
	StateDir string
	// NoCgroup asks for marks alone.
	NoCgroup bool
}

// Find returns the place for the groups of this server and makes the cgroup, if
// cgroup v2 can be used. The same Params give the same place again as long as batond
// is started in the same cgroup.
func Find(p Params) (Place, error) {
	id, err := instance(p.StateDir)
	if err != nil {
		return Place{}, err
	}
	place := Place{Mark: escape(p.Cluster) + "/" + escape(p.Server) + "@" + id + "/"}
	if p.NoCgroup {
		place.Why = "not wanted"
		return place, nil
	}
	dir, err := own()
	if err == nil {
		dir = filepath.Join(dir, "baton."+escape(p.Cluster)+"."+escape(p.Server)+"."+id)
		err = try(dir)
	}
	if err != nil {
		place.Why = err.Error()
		return place, nil
	}
	place.Dir = dir
	return place, nil
}

// Kind is "cgroup" or "mark".
func (p Place) Kind() string {
	if p.Dir == "" {
		return "mark"
	}
	return "cgroup"
}

// KillCgroup kills every process of every group that is in a cgroup, which takes
// microseconds, without waiting for their end.
func (p Place) KillCgroup() error {
	if p.Dir == "" {
		return nil
	}
	return killCgroup(p.Dir)
}

// Kill kills every process of every group and says whether any was left to kill. It
// is to be called until that is false: the dying need a moment, and a process that was
// born behind the scan's back is met by the next.
func (p Place) Kill() (left bool, err error) {
	if err := p.KillCgroup(); err != nil {
		return true, err
	}
	n, err := killMarked(p.Mark, anyStep)
	if err = p.tolerate(err); err != nil || n > 0 || p.Dir == "" {
		return n > 0, err
	}
	return isPopulated(p.Dir)
}

// Left says whether a process of any group is alive.
func (p Place) Left() (bool, error) {
	if p.Dir != "" {
		populated, err := isPopulated(p.Dir)
		if err != nil || populated {
			return populated, err
		}
	}
	pids, err := marked(p.Mark, anyStep)
	return len(pids) > 0, p.tolerate(err)
}

// tolerate lets a process pass that is stuck in execve, where the cgroups tell whose
// it is: any process of the machine can be so, by a disk that hangs.
func (p Place) tolerate(err error) error {
	if p.Dir != "" && errors.Is(err, errInExec) {
		return nil
	}
	return err
}

// Remove takes the cgroups away, where they are empty; starting something makes them
// again. After a Kill it must be called: on Linux 6.18 (measured; the counter kill_seq
// came with 6.14) a process that is born in a cgroup by clone3 is killed at once, for
// ever, if cgroup.kill has been written there more often than in its parent's cgroup.
func (p Place) Remove() {
	if p.Dir == "" {
		return
	}
	for _, dir := range below(p.Dir) {
		_ = unix.Rmdir(dir) // EBUSY: not empty, stays
	}
}

// Scripts is the cell of a group's scripts and all that they start.
func (p Place) Scripts(group string) Cell { return p.cell(group, "scripts.", noStep) }

// Steps is the cell of a group's step children. They are apart from the scripts, so
// that a step child can end what a stop script has left without ending itself.
func (p Place) Steps(group string) Cell { return p.cell(group, "steps.", onlyStep) }

func (p Place) cell(group, prefix string, steps stepFilter) Cell {
	c := Cell{mark: p.Mark + escape(group), steps: steps}
	if p.Dir != "" {
		c.dir = filepath.Join(p.Dir, prefix+escape(group))
	}
	return c
}

// Cell holds processes of one group.
type Cell struct {
	dir   string // "" without cgroups
	mark  string // whole value of BATON_GROUP_MARK
	steps stepFilter
}

// Start starts the command inside the cell. It overwrites cmd.Env's mark and sets
// cmd.SysProcAttr's cgroup.
func (c Cell) Start(cmd *exec.Cmd) error {
	// Before all else, so that a scan finds it early.
	cmd.Env = append([]string{MarkName + "=" + c.mark}, cmd.Env...)
	if c.dir == "" {
		return cmd.Start()
	}
	dir, err := openCell(c.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &unix.SysProcAttr{}
	}
	cmd.SysProcAttr.UseCgroupFD = true
	cmd.SysProcAttr.CgroupFD = int(dir.Fd())
	return cmd.Start()
}

// Processes are the pids alive in the cell, without the caller's own.
func (c Cell) Processes() ([]int, error) {
	if c.dir == "" {
		return marked(c.mark, c.steps)
	}
	return processes(c.dir)
}

// Signal sends the signal to every process of the cell but the caller, and says how
// many there were.
func (c Cell) Signal(sig unix.Signal) (int, error) {
	pids, err := c.Processes()
	for _, pid := range pids {
		_ = unix.Kill(pid, sig) // ESRCH: gone already
	}
	return len(pids), err
}

// instance is a short name for the state directory, by what it is and not by its
// path: two mount namespaces may have different ones under the same path.
func instance(stateDir string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(stateDir, &st); err != nil {
		return "", fmt.Errorf("state directory %s: %w", stateDir, err)
	}
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(st.Dev))
	binary.LittleEndian.PutUint64(b[8:], st.Ino)
	sum := sha256.Sum256(b[:])
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5])), nil
}

// Instance is the short name of a state directory that Find uses.
func Instance(stateDir string) (string, error) { return instance(stateDir) }

// escape makes one path element of a name: letters, digits, '_' and '-' stay, every
// other byte becomes %XX, so that different names stay different.
func escape(name string) string {
	// Room for the prefix and, in the parent's name, for three such parts: NAME_MAX is 255.
	const longest = 64
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() <= longest {
		return b.String()
	}
	sum := sha256.Sum256([]byte(name))
	return b.String()[:longest-18] + "%%" + fmt.Sprintf("%x", sum[:8])
}

// openCell opens the cgroup's directory, making it where it is missing.
func openCell(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(dir, 0o755); err == nil {
			f, err = os.Open(dir)
		}
	}
	return f, err
}
