package main

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// The service manager is told what goes on by sd_notify(3). Where there is none (no
// NOTIFY_SOCKET), all of this does nothing.

func notify(state string) { _, _ = daemon.SdNotify(false, state) } // nobody to tell is no fault

// feedWatchdog tells the service manager that the loop turns, as often as it wants
// to know (WatchdogSec=), and says nothing when it does not turn.
func feedWatchdog(ctx context.Context, turns func() uint64) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return
	}
	tick := time.NewTicker(every / 2)
	defer tick.Stop()
	for last := uint64(0); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if n := turns(); n != last {
			last = n
			notify(daemon.SdNotifyWatchdog)
		}
	}
}

// stopping says that groups are being handed over, and asks for the time it takes:
// a stop script may take longer than TimeoutStopSec.
func stopping(ctx context.Context) {
	const ask = 30 * time.Second
	notify(daemon.SdNotifyStopping)
	tick := time.NewTicker(ask / 3)
	defer tick.Stop()
	for {
		notify(fmt.Sprintf("STATUS=handing the groups over\nEXTEND_TIMEOUT_USEC=%d", ask.Microseconds()))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
