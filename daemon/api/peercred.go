package api

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The groups whose members may use the socket.
const (
	GroupOperate = "baton"
	GroupView    = "baton-view"
)

// Peer is who is at the other end of a connection, by the kernel's word: the process
// that connected, as it was when it connected.
type Peer struct {
	PID    int
	UID    int
	GID    int
	Groups []int // supplementary groups
	// Began is when the process did, in ticks since the boot; 0 not known. A PID can be
	// another process's by the time one asks about it.
	Began uint64
}

// Permissions says who may do what.
type Permissions struct {
	Own     int // the daemon's user; like root it may operate
	Operate int // group that may operate; -1: no such group
	View    int // group that may view; -1: no such group
}

// SystemPermissions looks the groups up in the system's databases. It is done once,
// when batond starts: after groupadd batond has to be reloaded.
func SystemPermissions() Permissions {
	return Permissions{Own: os.Getuid(), Operate: groupID(GroupOperate), View: groupID(GroupView)}
}

func groupID(name string) int {
	g, err := user.LookupGroup(name)
	if err != nil {
		return -1
	}
	id, err := strconv.Atoi(g.Gid)
	if err != nil {
		return -1
	}
	return id
}

func (p Permissions) mayOperate(who Peer) bool {
	return who.UID == 0 || who.UID == p.Own || who.in(p.Operate)
}

func (p Permissions) mayView(who Peer) bool {
	return p.mayOperate(who) || who.in(p.View)
}

func (w Peer) in(gid int) bool {
	return gid >= 0 && (w.GID == gid || slices.Contains(w.Groups, gid))
}

// name is the user's login name, or what is known instead.
func (w Peer) name() string {
	if u, err := user.LookupId(strconv.Itoa(w.UID)); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", w.UID)
}

// peerOf asks the kernel who is at the other end (unix(7), SO_PEERCRED and
// SO_PEERGROUPS). The groups are those the process had when it connected: what
// /proc/PID/status says may belong to another process by now, and the user database
// says what the groups will be at his next login.
func peerOf(c net.Conn) (Peer, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return Peer{}, fmt.Errorf("credentials of a %T: not a unix socket", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var p Peer
	var inner error
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			inner = fmt.Errorf("SO_PEERCRED: %w", err)
			return
		}
		p = Peer{PID: int(cred.Pid), UID: int(cred.Uid), GID: int(cred.Gid)}
		p.Groups, inner = peerGroups(int(fd))
		if st, err := proc("/proc").stat(p.PID); err == nil {
			p.Began = st.began
		}
	})
	return p, errors.Join(err, inner)
}

// peerGroups asks with a growing buffer: the kernel answers ERANGE and the size that
// it needs.
func peerGroups(fd int) ([]int, error) {
	for n := uint32(64); n <= 1<<16; {
		ids := make([]uint32, n)
		size := n * 4
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&ids[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch errno {
		case 0:
			out := make([]int, 0, size/4)
			for _, id := range ids[:size/4] {
				out = append(out, int(id))
			}
			return out, nil
		case unix.ERANGE:
			n = max(size/4, n*2)
		default:
			return nil, fmt.Errorf("SO_PEERGROUPS: %w", errno)
		}
	}
	return nil, errors.New("SO_PEERGROUPS: more than 65536 groups")
}
