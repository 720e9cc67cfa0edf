package conf

import (
	"slices"
	"strings"
)

// A table of the file, as README.md names it: "" is the file itself.
type tableName = string

// accepted are the keys of each table, in the order of README.md.
var accepted = map[tableName][]string{
	"":                  {"cluster", "heartbeat", "startup", "recovery", "tiebreaker", "server", "group"},
	"cluster":           {"name", "key_file", "state_dir", "port"},
	"heartbeat":         {"interval", "timeout"},
	"startup":           {"wait"},
	"recovery":          {"return", "on_quorum_loss", "watchdog"},
	"tiebreaker":        {"kind", "device", "address"},
	"server":            {"name", "interconnect", "public", "fence"},
	"server.fence":      {"agent", "options", "delay"},
	"group":             {"name", "policy", "autostart", "failback", "start_script", "stop_script", "script_timeout", "floating_ip", "monitor"},
	"group.floating_ip": {"address", "interface"},
	"group.monitor":     {"resources", "on_anomaly", "failover_to", "max_failovers"},
}

// later are keys that are planned and not honoured yet, each with what to do until
// then. They are refused: a key that is read and not obeyed is worse than none.
var later = map[string]string{
	"public_lan":                "take the table out",
	"group.partition":           "take the table out, and mount in start_script",
	"group.nfs":                 "take the table out, and mount in start_script",
	"group.monitor.reset_after": "take the line out; the count of failovers starts anew when an operator starts the group",
}

// laterChoices are values that are planned and not honoured yet.
var laterChoices = map[string][]string{
	"group.monitor.resources": {"partition", "nfs", "public_lan"},
}

// tiebreakers are the kinds, the default first.
var tiebreakers = []string{TiebreakerNone, TiebreakerDisk, TiebreakerWitness, TiebreakerFence, TiebreakerPing}

// repeated are the tables that may occur more than once: [[name]], not [name].
var repeated = map[tableName]bool{
	"server": true, "group": true, "group.floating_ip": true, "group.partition": true, "group.nfs": true,
}

// isTable says whether the documented name is a table's, accepted now or later.
func isTable(name string) bool {
	_, ok := accepted[name]
	return ok || repeated[name] || name == "public_lan" || name == "server.fence.options"
}

// brackets is how the table's header is written.
func brackets(name tableName) string {
	if repeated[name] {
		return "[[" + name + "]]"
	}
	return "[" + name + "]"
}

// under joins a table's documented name and a key.
func under(table tableName, key string) string {
	if table == "" {
		return key
	}
	return table + "." + key
}

// laterKeys are the keys of the table that are not supported yet.
func laterKeys(table tableName) (keys []string) {
	for name := range later {
		parent, key := "", name
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			parent, key = name[:i], name[i+1:]
		}
		if parent == table {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// elsewhere names another table that has the key, where just one has.
func elsewhere(key string) (table tableName) {
	for name, keys := range accepted {
		if name != "" && slices.Contains(keys, key) {
			if table != "" {
				return ""
			}
			table = name
		}
	}
	return table
}
