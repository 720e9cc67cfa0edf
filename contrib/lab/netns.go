package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// newNamespace makes an empty network namespace, which lives as long as its handle
// or anything in it.
func newNamespace() (netns.NsHandle, error) {
	var ns netns.NsHandle
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("new network namespace: %w", err)
		}
		var err error
		ns, err = netns.Get()
		return err
	})
	return ns, err
}

// within runs f on a thread of its own inside ns. Sockets that f opens stay there;
// goroutines that it starts do not.
func within(ns netns.NsHandle, f func() error) error {
	return onThread(func() error {
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// onThread runs f on a locked thread and brings that thread back to the namespace it
// was in. A thread that cannot be brought back ends with its goroutine.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- err
			return
		}
		defer home.Close()
		err = f()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// sysctls of every server and of the client: what a server of today has, and quiet
// test links. The lab needs none of them; a missing one is passed over.
var sysctls = map[string]string{
	"net/ipv4/conf/all/promote_secondaries":     "1",
	"net/ipv4/conf/default/promote_secondaries": "1",
	// IPv6: addresses are usable at once, and nobody asks for routers.
	"net/ipv6/conf/all/accept_dad":                            "0",
	"net/ipv6/conf/default/accept_dad":                        "0",
	"net/ipv6/conf/default/accept_ra":                         "0",
	"net/ipv6/conf/default/router_solicitations":              "0",
	"net/ipv6/conf/default/force_mld_version":                 "1",
	"net/ipv6/conf/default/mldv1_unsolicited_report_interval": "0",
}

// setSysctls writes the sysctls of the calling thread's network namespace.
func setSysctls(values map[string]string) {
	for name, value := range values {
		_ = os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0)
	}
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}
