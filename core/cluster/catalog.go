package cluster

// The codes of the events. They are stable: scripts and filters may rely on them.
const (
	CodeConfigChanged  = "config-changed"
	CodeConfigRefused  = "config-refused"
	CodeCommandIgnored = "command-ignored"
	CodeNote           = "note"
	CodeForcedReturn   = "forced-return"
	CodeTwoHistories   = "two-histories"
	CodeHalfGoesOn     = "half-goes-on"
	CodeAllAgreed      = "all-agreed"

	CodeClusterStarted  = "cluster-started"
	CodeClusterStopping = "cluster-stopping"
	CodeClusterStopped  = "cluster-stopped"
	CodeClusterFailed   = "cluster-failed"

	CodeServerStarting     = "server-starting"
	CodeServerOnline       = "server-online"
	CodeServerReturning    = "server-returning"
	CodeServerDetached     = "server-detached"
	CodeServerDisconnected = "server-disconnected"
	CodeServerLeaving      = "server-leaving"
	CodeServerStopped      = "server-stopped"
	CodeServerDown         = "server-down"
	CodeServerGone         = "server-gone"

	CodeGroupStarting   = "group-starting"
	CodeGroupOnline     = "group-online"
	CodeGroupStopping   = "group-stopping"
	CodeGroupStopped    = "group-stopped"
	CodeGroupWaiting    = "group-waiting"
	CodeGroupFailed     = "group-failed"
	CodeGroupStuck      = "group-stuck"
	CodeGroupAnomaly    = "group-anomaly"
	CodeGroupDegraded   = "group-degraded"
	CodeGroupNormal     = "group-normal"
	CodeScriptFailed    = "script-failed"
	CodeActivateFailed  = "activation-failed"
	CodeGroupRecovering = "group-recovering"
	CodeGroupRecovered  = "group-recovered"
	CodeRecoverFailed   = "recover-failed"

	CodeOpAccepted = "op-accepted"
	CodeOpRefused  = "op-refused"
	CodeOpDone     = "op-done"
	CodeOpFailed   = "op-failed"

	// What a server notes by itself.
	CodePathLost     = "path-lost"
	CodePathWorks    = "path-works"
	CodeStepProgress = "step-progress"
	CodeGuard        = "guard"
)

// CatalogEntry describes the events of one code.
type CatalogEntry struct {
	Code     string
	Severity string // Info, Warn or Error; a note brings its own
	Meaning  string
	Remedy   string // "" where there is nothing to do
}

// Catalog returns every event there is: those of this package, and those that servers note.
func Catalog() []CatalogEntry {
	return []CatalogEntry{
		{CodeConfigChanged, Info, "the cluster goes by a new configuration", ""},
		{CodeConfigRefused, Warn, "a configuration cannot be taken over as things are; the cluster goes on by the old one", "do what the text names, then load the configuration again"},
		{CodeCommandIgnored, Warn, "an entry of the log makes no sense and was skipped", "report it: a batond has proposed what it should not"},
		{CodeForcedReturn, Warn, "an operator has let one server go on alone", "boot the other servers; they join by themselves"},
		{CodeTwoHistories, Error, "two parts of the cluster have each gone on without the other, which only forced returns or a weak tie-breaker can bring about; one has given up and joined the other", "check the data of every group: both parts may have written to it"},
		{CodeAllAgreed, Warn, "every half had stopped for the tie-breaker's decision, which did not come before all servers were there again; they have agreed among themselves", "find out why the tie-breaker could not decide"},
		{CodeHalfGoesOn, Warn, "exactly half of the votes was left, and the tie-breaker has let this half go on; the other one stops its groups and may not", "find out why the others were not heard; they join by themselves"},
		{CodeNote, Info, "a line written by a script, a command or a server", ""},

		{CodeClusterStarted, Info, "servers went online together, and groups with autostart are being started", ""},
		{CodeClusterStopping, Info, "a cluster shutdown has begun: every group is being stopped", ""},
		{CodeClusterStopped, Info, "the cluster is shut down", "boot the servers to start it"},
		{CodeClusterFailed, Error, "no server of the cluster is left; groups that ran start with the next cluster start", "find out why, and boot the servers"},

		{CodeServerStarting, Info, "a server is there and waits for the cluster to start", ""},
		{CodeServerOnline, Info, "a server is a full member", ""},
		{CodeServerReturning, Info, "a server is being taken back in; RECOVER runs are under way", ""},
		{CodeServerDetached, Warn, "a server that had failed runs again, out of the cluster", "check the server, then: baton return SERVER"},
		{CodeServerDisconnected, Info, "a server was taken out of the cluster by an operator and stays out", "to take it back in: baton return SERVER"},
		{CodeServerLeaving, Info, "the groups of a server are being stopped or moved, because it is to leave", ""},
		{CodeServerStopped, Info, "a server is shut down in order", ""},
		{CodeServerDown, Error, "a server has failed; its groups are being taken over", "find out why; when it runs again: baton return SERVER"},
		{CodeServerGone, Warn, "a server that was not a member is no longer heard", ""},

		{CodeGroupStarting, Info, "a group is being started", ""},
		{CodeGroupOnline, Info, "a group runs", ""},
		{CodeGroupStopping, Info, "a group is being stopped", ""},
		{CodeGroupStopped, Info, "a group is stopped", ""},
		{CodeGroupWaiting, Warn, "a group is to run, but no server of its policy is online; it starts when one is", "boot or return one of the servers named"},
		{CodeGroupFailed, Error, "a group could not be started anywhere", "remove the cause, then: baton start GROUP"},
		{CodeGroupStuck, Error, "what a group holds on a server could not be released; it starts nowhere else until it is", "release it by hand and repeat baton stop GROUP, or switch the server off"},
		{CodeGroupAnomaly, Warn, "a watched resource of a group has failed", ""},
		{CodeGroupDegraded, Error, "an anomaly that failover cannot answer; the group stays where it is", "remove the cause, or bring another server of the policy online and move the group"},
		{CodeGroupNormal, Info, "the resources of a group have been normal for reset_after", ""},
		{CodeScriptFailed, Warn, "a start or stop script ended with an exit code other than 0", "see the group's log file"},
		{CodeActivateFailed, Warn, "a resource could not be activated", ""},
		{CodeGroupRecovering, Info, "the start script runs with RECOVER", ""},
		{CodeGroupRecovered, Info, "a RECOVER run has ended well", ""},
		{CodeRecoverFailed, Warn, "a RECOVER run has failed; the server goes on all the same", "see the group's log file, and repair by hand what RECOVER should have"},

		{CodeOpAccepted, Info, "an operator's operation has begun", ""},
		{CodeOpRefused, Info, "an operation cannot be done now", "do what the hint says"},
		{CodeOpDone, Info, "an operation has reached its end", ""},
		{CodeOpFailed, Warn, "an operation could not be carried to its end", "see its text"},

		{CodePathLost, Warn, "one heartbeat path from a server is silent, while it is heard on another one", "look at the cable, switch or interface of that network; the cluster goes on with the other paths"},
		{CodePathWorks, Info, "a heartbeat path works again", ""},
		{CodeStepProgress, Warn, "a start or stop takes longer than usual, and why", "do what the text names, e.g. switch off the machine that has the group's address"},
		{CodeGuard, Warn, "something about the process that stops groups if batond cannot", "see the text; a guard that has ended is started again by itself"},
	}
}

// severityOf returns what the catalogue says of a code, Warn for one that is not in it.
func severityOf(code string) string {
	for _, e := range Catalog() {
		if e.Code == code {
			return e.Severity
		}
	}
	return Warn
}
