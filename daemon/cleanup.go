package main

import (
	"context"
	"log/slog"
	"time"

	"baton/conf"
	"baton/daemon/cgroup"
	"baton/daemon/guard"
)

// cleanupPatience is how long "batond --cleanup" tries. The guard's rules hold: what
// cannot be cleared within E is rebooted away.
const cleanupPatience = 30 * time.Second

// cleanUp is "batond --cleanup", the stop hook of the service manager
// (contrib/systemd/batond.service, ExecStopPost=). It is run after every end of
// batond, also before a crashed one is started again, and does something only where
// the guard is gone too. It must work with a configuration that has become wrong.
func cleanUp(o options, log *slog.Logger) int {
	c, err := conf.Load(o.config)
	if err != nil {
		log.Warn("cleanup goes by what the last batond has left", "config", err)
	}
	g := guard.Config{StateDir: o.stateDir, Notice: func(text string) { log.Info(text) }}
	if g.StateDir == "" {
		g.StateDir = conf.DefaultStateDir
		if c != nil {
			g.StateDir = c.Cluster.StateDir
		}
	}
	if c != nil {
		name, err := o.serverName(c)
		if err != nil {
			log.Error("cleanup", "error", err)
			return exitMistake
		}
		// By marks: the cgroup of a stop hook is another one than batond's, which is in
		// what the last batond has left.
		place, err := cgroup.Find(cgroup.Params{Cluster: c.Cluster.Name, Server: name, StateDir: g.StateDir, NoCgroup: true})
		if err != nil {
			log.Error("cleanup", "error", err)
			return exitFailed
		}
		g.Spec = guardSpec(c, g.StateDir, place)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupPatience)
	defer cancel()
	found, err := guard.Cleanup(ctx, g)
	if err != nil {
		log.Error(err.Error())
		return exitFailed
	}
	log.Info("cleanup: " + found)
	return exitOK
}
