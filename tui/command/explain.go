package command

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/cells"
)

// What the codes mean: those of events come from the cluster's own catalogue, and
// those of refusals and answers are here, where they are read.

// refusals are the codes of operations that are refused.
var refusals = []cluster.CatalogEntry{
	{Code: cluster.RefusedUnknownVerb, Meaning: "there is no such operation", Remedy: "baton --help lists them"},
	{Code: cluster.RefusedNoSuchGroup, Meaning: "the configuration has no group of that name", Remedy: "baton status lists the groups"},
	{Code: cluster.RefusedNoSuchServer, Meaning: "the configuration has no server of that name", Remedy: "baton status lists the servers"},
	{Code: cluster.RefusedNotInPolicy, Meaning: "the group's policy does not name that server", Remedy: "name a server of its policy; the refusal lists them"},
	{Code: cluster.RefusedServerNotOnline, Meaning: "the server named is not a full member, so it can run no group", Remedy: "boot it or return it, or name another"},
	{Code: cluster.RefusedServerNotThere, Meaning: "the server's batond is not heard", Remedy: "boot the server, or start batond there"},
	{Code: cluster.RefusedServerBusy, Meaning: "the server is being disconnected, shut down or returned", Remedy: "wait until that has ended; baton status shows it"},
	{Code: cluster.RefusedServerNotReady, Meaning: "the server has left, but has not let go of everything yet", Remedy: "try again in a few seconds"},
	{Code: cluster.RefusedGroupBusy, Meaning: "the group is being started or stopped", Remedy: "wait until that has ended, or: baton stop GROUP"},
	{Code: cluster.RefusedGroupStuck, Meaning: "what the group holds on a server could not be released, and it may not start elsewhere before that", Remedy: "release it by hand and repeat baton stop GROUP, or switch that server off"},
	{Code: cluster.RefusedAlreadyThere, Meaning: "the group runs on that server already"},
	{Code: cluster.RefusedAlreadyRunning, Meaning: "the group runs already, on another server", Remedy: "baton move GROUP SERVER"},
	{Code: cluster.RefusedAlreadyStopped, Meaning: "the group or server is stopped already"},
	{Code: cluster.RefusedAlreadyOnline, Meaning: "the server is in the cluster already"},
	{Code: cluster.RefusedAlreadyOut, Meaning: "the server has been disconnected already", Remedy: "to take it back in: baton return SERVER"},
	{Code: cluster.RefusedNotRunning, Meaning: "only a group that runs can be moved, failed over or restarted", Remedy: "baton start GROUP"},
	{Code: cluster.RefusedNowhereToRun, Meaning: "no server of the group's policy is online, or no other one", Remedy: "boot or return one of the servers named"},
	{Code: cluster.RefusedMaxFailovers, Meaning: "the group has failed over max_failovers times in a row: the fault is probably in something that all servers share", Remedy: "remove the cause; baton move still works, and baton start begins the count anew"},
	{Code: cluster.RefusedPictureChanged, Meaning: "what the operation is about has changed since the picture that the operator saw", Remedy: "look again, and repeat the operation if it is still wanted"},
	{Code: cluster.RefusedNotRunningYet, Meaning: "the servers still wait for each other", Remedy: "boot the missing ones, or wait until startup.wait is over"},
	{Code: cluster.RefusedStopping, Meaning: "the cluster is being shut down", Remedy: "wait until it is down, then start it again"},
	{Code: api.CodeNoQuorum, Meaning: "this server has no leader, or the leader hears no majority: nobody can decide", Remedy: "boot or reconnect the servers it waits for; if they are surely off: baton return SERVER --force, on the server that shall go on"},
	{Code: api.CodeNoAnswer, Meaning: "the operation was handed on, and it is not known whether the cluster has it", Remedy: "baton events shows whether it was carried out; do not repeat it before"},
	{Code: api.CodeNotPermitted, Meaning: "the user who asks may not do that", Remedy: "ask root, or have root add you to group " + api.GroupOperate + " and log in again"},
	{Code: api.CodeTooBusy, Meaning: "this user has too many connections open", Remedy: "close consoles and commands that are left over"},
	{Code: api.CodeStopping, Meaning: "this server's batond is ending", Remedy: "ask on another server"},
	{Code: api.CodeNotHere, Meaning: "a forced return is asked for on the server that shall go on", Remedy: "log in there"},
	{Code: api.CodeNotNeeded, Meaning: "the server has a leader: there is nothing to force", Remedy: "baton return SERVER"},
	{Code: api.CodeBadRequest, Meaning: "batond does not understand the request, and does nothing half", Remedy: "is this baton of the same version as batond? baton version, and baton status --json, say"},
	{Code: api.CodeNotFound, Meaning: "there is no such path, or no such operation any more", Remedy: "the last operations are in baton status --json, older ones in baton events"},
	{Code: api.CodeBadMethod, Meaning: "the path is asked by another HTTP method than it has", Remedy: "see daemon/api/README.md"},
	{Code: api.CodeTooLarge, Meaning: "the request is longer than any that makes sense", Remedy: "see the limit that the message names"},
	{Code: api.CodeInternal, Meaning: "batond could not answer, and says why", Remedy: "see the message and batond's log"},
}

// explained are all codes, each once.
func explained() (events, refused []cluster.CatalogEntry) {
	return cluster.Catalog(), refusals
}

func find(list []cluster.CatalogEntry, code string) *cluster.CatalogEntry {
	for i := range list {
		if list[i].Code == code {
			return &list[i]
		}
	}
	return nil
}

func explainCommand(sys *system) *cobra.Command {
	return &cobra.Command{
		Use: "explain [CODE]", Short: "Say what the code of an event or a refusal means and what to do; without CODE list them all", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			events, refused := explained()
			if len(args) == 0 {
				_, err := fmt.Fprint(sys.out, "Events:\n"+listed(events)+"\nRefusals:\n"+listed(refused)+"\nbaton explain CODE says what to do.\n")
				return err
			}
			code := args[0]
			text := ""
			if e := find(events, code); e != nil {
				text += atLength(e, "event, "+e.Severity)
			}
			if e := find(refused, code); e != nil {
				text += atLength(e, "refusal")
			}
			if text == "" {
				return usage("there is no code %q; baton explain lists them", code)
			}
			_, err := fmt.Fprint(sys.out, text)
			return err
		},
	}
}

func listed(entries []cluster.CatalogEntry) string {
	var rows [][]string
	for i := range entries {
		e := &entries[i]
		row := []string{" ", e.Code, e.Meaning}
		if e.Severity != "" {
			row = []string{" ", e.Code, e.Severity, e.Meaning}
		}
		rows = append(rows, row)
	}
	return aligned(rows)
}

// atLength is one code for reading.
func atLength(e *cluster.CatalogEntry, kind string) string {
	remedy := e.Remedy
	if remedy == "" {
		remedy = "nothing to do"
	}
	paragraph := func(label, text string) string {
		out := ""
		for i, l := range cells.Wrap(text, 64, 99, "") {
			if i > 0 {
				label = ""
			}
			out += strings.TrimRight(cells.Fit("  "+label, 12, "")+l, " ") + "\n"
		}
		return out
	}
	out := e.Code + " (" + kind + ")\n" + paragraph("meaning", e.Meaning) + paragraph("to do", remedy)
	if more := atLengths[e.Code]; more != "" {
		out += paragraph("more", more)
	}
	return out
}
