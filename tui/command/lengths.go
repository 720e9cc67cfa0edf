package command

import (
	"baton/core/cluster"
	"baton/daemon/api"
)

// atLengths are what an operator should know of the codes that he has to act on, beyond
// a sentence: how it came to that, what the cluster does meanwhile, what to look at.
var atLengths = map[string]string{
	cluster.CodeServerDown: "Nothing was heard of it on any path for heartbeat.timeout, or it has said itself that its lease was over. What it ran is stopped there, by its own guard, before it starts elsewhere. " +
		"baton status shows which paths are lost: all of them at once is a server without power or a switch, one after the other a network. When it runs again it is detached, unless recovery.return is auto, so that you can look at it first.",
	cluster.CodeServerDetached: "It takes part in no group, and holds none. Its log, from before the failure, says why it went. The return runs the start scripts of the groups that it had with RECOVER, while they go on elsewhere; no group moves back by itself unless its failback is auto.",
	cluster.CodeServerGone:     "It was detached and had no group, so nothing is taken over.",
	cluster.CodeClusterFailed:  "All sessions ended together: a power failure of the room, or a network that nobody could cross. The servers start the cluster again by themselves when enough of them hear each other, each group where it would start at a cluster start.",
	cluster.CodeHalfGoesOn:     "The other half, if it lives, has stopped its groups before this one took them over. When both hear each other again the other half joins, detached or by itself as after any failure.",
	cluster.CodeTwoHistories:   "Each part has had groups and clients of its own for a while. The cluster has one of the two histories now, and the data of the other one is still on its disks: compare before you let anything write to it.",
	cluster.CodeForcedReturn:   "Whoever asked for it has vouched that the other servers were off. If one of them was not, two-histories follows when they meet.",
	cluster.CodeGroupWaiting:   "It is wanted, so nobody has to start it: it starts on the first server of its policy that comes online. baton why GROUP names each server of the policy and what keeps it away.",
	cluster.CodeGroupFailed:    "Every server of its policy that is online has been tried. The events before this one have the reason of each; the scripts' own words are in STATE_DIR/log/GROUP.log on each server.",
	cluster.CodeGroupStuck:     "A stop that does not release everything must not be followed by a start elsewhere: the group would be active twice. The text names what is left, a process in the kernel or an address that comes back. baton stop GROUP tries again; the end of that server's session, e.g. by switching it off, counts as released.",
	cluster.CodeGroupDegraded:  "A watched resource has failed, and the group still runs because there is nowhere better: no other server of its policy is online, or it has failed over max_failovers times in a row. The mark goes with the next start, or when the resources have been normal for reset_after.",
	cluster.CodeGroupAnomaly:   "What follows is on_anomaly: a failover (stop, RECOVER here, start elsewhere) or a stop. The next events say which, and why.",
	cluster.CodeScriptFailed:   "The output of the script is in STATE_DIR/log/GROUP.log on the server named, under a line with its variables and above one with its exit code. Exit code -1 is a script that was killed or took longer than script_timeout. Where script is among the monitored resources it is an anomaly of the group, else a warning on it.",
	cluster.CodeRecoverFailed:  "RECOVER is for what the failure has left behind on that server, such as lock files. The group runs elsewhere and is not touched; the server returns all the same.",
	cluster.CodeActivateFailed: "A floating IP, partition or NFS could not be had, and the start script was not run. What had been activated is released again, and the next server of the policy is tried.",
	cluster.CodePathLost:       "Heartbeats go over every interconnect and the public LAN at once, so one path less costs nothing but its reserve. If the last one goes, the server counts as down.",
	cluster.CodeOpFailed:       "It was accepted, and ended otherwise than asked: overtaken by another operation, or by a failure. Nothing of it is still to come; what the cluster does instead the events say.",
	cluster.CodeConfigRefused:  "The servers go on by the configuration that they have agreed on. In baton status --json, same_rules is false for the servers whose file says something else than this one's.",
	api.CodeNoQuorum:           "Groups that run here are stopped when this server's lease ends, because another part of the cluster may take them over. With three servers two have to hear each other, with two a tie-breaker decides. Never force a return while another server may still run.",
	api.CodeNoAnswer:           "The leader may have failed between taking it and saying so. It is carried out once or not at all; baton events on any server, or baton status --json (ops), shows it by its id.",
}
