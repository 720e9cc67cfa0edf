package cluster

// Version of the state's and the commands' encoding. A server refuses a state of a
// higher version.
const Version = 1

// Config is the part of the configuration file that decides where groups run. It is
// replicated, so that every server applies the same rules even while the files
// differ.
type Config struct {
	Cluster    string        `json:"cluster"`
	Servers    []string      `json:"servers"` // in the order of the file
	Groups     []GroupConfig `json:"groups"`
	ReturnAuto bool          `json:"return_auto,omitempty"` // recovery.return = "auto"
}

// GroupConfig is one group's rules.
type GroupConfig struct {
	Name          string   `json:"name"`
	Policy        []string `json:"policy"` // highest priority first
	Autostart     bool     `json:"autostart,omitempty"`
	FailbackAuto  bool     `json:"failback_auto,omitempty"`
	OnAnomaly     string   `json:"on_anomaly,omitempty"`     // "failover" (also "") or "stop"
	FailoverTo    string   `json:"failover_to,omitempty"`    // "priority" (also "") or "stable"
	MaxFailovers  int      `json:"max_failovers,omitempty"`  // in a row; 0 means DefaultMaxFailovers
	MonitorScript bool     `json:"monitor_script,omitempty"` // an exit code other than 0 is an anomaly
}

// DefaultMaxFailovers is the seed's: after so many failovers in a row the fault is
// probably in something that all servers share, and moving on helps nobody.
const DefaultMaxFailovers = 8

// ServerState is the state of a server (SPEC section 2).
type ServerState string

// The states of a server.
const (
	ServerOnline    ServerState = "online"    // full member: can run groups
	ServerStopped   ServerState = "stopped"   // shut down in order
	ServerDown      ServerState = "down"      // failed
	ServerDetached  ServerState = "detached"  // batond runs, the server is out of the cluster
	ServerStarting  ServerState = "starting"  // there, the cluster has not begun yet
	ServerLeaving   ServerState = "leaving"   // its groups are being stopped
	ServerReturning ServerState = "returning" // its RECOVER runs are under way
)

// GroupState is the state of a group (SPEC section 3).
type GroupState string

// The states of a group.
const (
	GroupStopped  GroupState = "stopped"
	GroupStarting GroupState = "starting"
	GroupOnline   GroupState = "online"
	GroupStopping GroupState = "stopping"
	GroupFailed   GroupState = "failed"
)

// Phase is the life of the whole cluster.
type Phase string

// The phases. Groups run in PhaseRunning only.
const (
	PhaseForming  Phase = "forming"  // servers arrive, nothing runs; the zero value means this too
	PhaseRunning  Phase = "running"  //
	PhaseStopping Phase = "stopping" // cluster shutdown under way; ends in forming
)

// State is what the servers agree on. The exported functions that change it are
// Apply and nothing else.
type State struct {
	Version int `json:"version"`
	// ID is drawn when the cluster is founded: it tells a cluster from another one of
	// the same name.
	ID       uint64   `json:"id,omitempty"`
	Index    uint64   `json:"index"`    // of the last applied entry
	Revision uint64   `json:"revision"` // index of the last entry that changed what an operator sees
	Phase    Phase    `json:"phase"`
	Config   Config   `json:"config"`
	Servers  []Server `json:"servers"` // order of Config.Servers
	Groups   []Group  `json:"groups"`  // order of Config.Groups
	Ops      []Op     `json:"ops"`     // running ones and the last KeepOps ended ones, oldest first
	Events   []Event  `json:"events"`  // the last KeepEvents, oldest first
}

// Bounds on what the state remembers.
const (
	KeepOps    = 64
	KeepEvents = 256
)

// Server is one server of the cluster.
type Server struct {
	Name   string      `json:"name"`
	State  ServerState `json:"state"`
	Since  int64       `json:"since"` // unix milliseconds
	Reason string      `json:"reason"`
	// Session is the open session under which the server runs groups; 0 means none
	// (rule S1). LastSession is the highest that was ever opened: a lower or equal
	// one is never opened again (S2).
	Session     uint64 `json:"session"`
	LastSession uint64 `json:"last_session"`
	// Offered is the session that a detached server would run under; it becomes
	// Session when the server returns.
	Offered uint64 `json:"offered,omitempty"`
	Boot    string `json:"boot,omitempty"` // boot id of the newest arrival
	// Life names the batond of the newest arrival, from its start to its end; "" where it
	// was shut down, and the cluster has ended or begun since.
	Life string `json:"life,omitempty"`
	// Present says that batond runs there and is heard (false for down and stopped).
	Present bool `json:"present"`
	// Failed: a session of the server ended by failure, and it has not returned since.
	// Unless recovery.return is "auto" it then comes up detached. A cluster start
	// clears it.
	Failed bool `json:"failed,omitempty"`
	// FailedBoot is the boot id under which it failed: a server that arrives with the
	// same one was only cut off.
	FailedBoot string `json:"failed_boot,omitempty"`
	// FailedWith names the groups that ran on the server when it failed, in the order
	// of the configuration. They get a RECOVER run when it returns.
	FailedWith []string `json:"failed_with,omitempty"`
	// Disconnected: an operator took the server out; it stays out over reboots.
	Disconnected bool `json:"disconnected,omitempty"`
	// Recovering are the RECOVER runs of a return, the head under way, the rest
	// waiting. They belong to the server and not to the groups, which go on running
	// elsewhere meanwhile.
	Recovering []Step `json:"recovering,omitempty"`
	// Leaving is the ARMS_FACTOR of the stops on a leaving server; "" where State is
	// not leaving. It also says what the server becomes: detached after
	// CLUSTERLEAVE, else stopped.
	Leaving string `json:"leaving,omitempty"`
	// Then is what the operator who shut the server down wants of its machine, after
	// batond has ended. It is set from the acceptance until the server arrives again.
	Then Then `json:"then,omitempty"`
	// Changed is the index of the last entry that changed this server.
	Changed uint64 `json:"changed"`
}

// Group is one failover group.
type Group struct {
	Name  string     `json:"name"`
	State GroupState `json:"state"`
	// Server carries the group, or is about to, or failed at it; "" where State is
	// stopped.
	Server string `json:"server"`
	Since  int64  `json:"since"`
	Reason string `json:"reason"` // one sentence: why the group is where it is
	// Wanted: the group is to run. False after an operator's stop, after a stop by
	// on_anomaly, and after a cluster shutdown (at the next cluster start autostart
	// decides).
	Wanted bool `json:"wanted"`
	// Stuck: what the group holds on Server could not be released. It starts nowhere
	// until a stop there succeeds or the session there has ended. Only where State is
	// failed.
	Stuck      bool   `json:"stuck,omitempty"`
	Degraded   bool   `json:"degraded,omitempty"`    // an anomaly that failover could not answer
	Warning    string `json:"warning,omitempty"`     // e.g. a script's exit code where scripts are not monitored
	LastServer string `json:"last_server,omitempty"` // where it ran last
	// LastStart are the variables of the last start that was not a RECOVER run; the
	// next stop script gets them.
	LastStart Env `json:"last_start"`
	// Left is what the last FAILOVER took the group away from; zero after every other
	// start.
	Left      Left      `json:"left,omitzero"`
	Failovers int       `json:"failovers,omitempty"` // by anomaly, in a row
	Anomalies []Anomaly `json:"anomalies,omitempty"` // newest one per server, oldest first, since an operator or the cluster started the group
	// Step is what is being done now, nil when nothing is. Only its result, or the
	// end of the session it names, takes it away (S4).
	Step *Step `json:"step,omitempty"`
	// Next is what follows Step, in order.
	Next []Intent `json:"next,omitempty"`
	Op   string   `json:"op,omitempty"` // the operation that is changing the group, "" none
	// StartMillis and StopMillis are how long the last start and stop took; 0: not known.
	StartMillis int64 `json:"start_millis,omitempty"`
	StopMillis  int64 `json:"stop_millis,omitempty"`
	// Changed is the index of the last entry that changed this group.
	Changed uint64 `json:"changed"`
}

// Left is a server that a group has left, and why.
type Left struct {
	Server string `json:"server"`
	At     int64  `json:"at"`
	Down   bool   `json:"down,omitempty"` // the server had failed; else it was to leave, or the group had an anomaly
	Why    string `json:"why"`
}

// Anomaly is a resource's fault on a server.
type Anomaly struct {
	Server string `json:"server"`
	At     int64  `json:"at"`
	Text   string `json:"text"`
}

// StepKind is what a step does.
type StepKind string

// The kinds of steps.
const (
	StepStart   StepKind = "start"   // activate resources, then run the start script
	StepStop    StepKind = "stop"    // run the stop script, then deactivate resources
	StepRecover StepKind = "recover" // run the start script with RECOVER, nothing else
)

// Step is one thing for one server to do.
type Step struct {
	// Token is unique and grows: the log index that pushed the step, shifted, and a
	// count within the entry. A result with another token is ignored; scripts get it
	// as BATON_TOKEN.
	Token   uint64   `json:"token"`
	Kind    StepKind `json:"kind"`
	Group   string   `json:"group"`
	Server  string   `json:"server"`
	Session uint64   `json:"session"` // executed under this session only (S3)
	Env     Env      `json:"env"`
	Pushed  int64    `json:"pushed"` // unix milliseconds
	// Handover: the group was stopped in order on its last server just before, so a
	// start may announce its addresses first and probe for conflicts behind that.
	Handover bool `json:"handover,omitempty"`
}

// Intent is a step that is not due yet. Its server is chosen, and its session
// filled in, when it becomes the step.
type Intent struct {
	Kind   StepKind `json:"kind"`
	Event  string   `json:"event,omitempty"`
	Factor string   `json:"factor,omitempty"`
	Server string   `json:"server,omitempty"` // "" means: the best one by then
	// Avoid: not this one if there is another. Set for a failover by anomaly only, and
	// then the server is chosen by failover_to.
	Avoid string `json:"avoid,omitempty"`
	// Why becomes part of the group's reason.
	Why      string `json:"why,omitempty"`
	Handover bool   `json:"handover,omitempty"` // Step.Handover
}

// Env are the variables of a script run (SPEC section 4). Disk is known only to the
// server that runs the step, which reports it in the outcome.
type Env struct {
	Event    string `json:"event,omitempty"`    // ARMS_EVENT
	Factor   string `json:"factor,omitempty"`   // ARMS_FACTOR, stop script only
	Home     bool   `json:"home,omitempty"`     // ARMS_SERVER is HOME
	Priority int    `json:"priority,omitempty"` // ARMS_PRIORITY, 1 to 16
	Disk     string `json:"disk,omitempty"`     // ARMS_DISK
}

// Values of ARMS_EVENT, ARMS_FACTOR and ARMS_DISK.
const (
	EventStart    = "START"
	EventRecover  = "RECOVER"
	EventFailover = "FAILOVER"

	FactorClusterShutdown = "CLUSTERSHUTDOWN"
	FactorServerShutdown  = "SERVERSHUTDOWN"
	FactorClusterLeave    = "CLUSTERLEAVE"
	FactorGroupStop       = "GROUPSTOP"
	FactorGroupMove       = "GROUPMOVE"
	FactorGroupFailover   = "GROUPFAILOVER"
	FactorGroupRestart    = "GROUPRESTART"

	DiskSuccess = "SUCCESS"
	DiskFailure = "FAILURE"
)

// Outcome is how a step ended.
type Outcome struct {
	// OK, of a stop: the resources are released, whatever the script said. Of a start:
	// activated, and the script ended well.
	OK bool `json:"ok"`
	// Ran: the script was run (or there is none to run). False where activation
	// failed before it: then there is nothing to stop or recover, and nothing is
	// left active (otherwise Held).
	Ran bool `json:"ran,omitempty"`
	// Held, of a failed start: what was activated could not be released again.
	Held bool   `json:"held,omitempty"`
	Exit int    `json:"exit,omitempty"` // the script's exit code; -1: killed, timed out or lost
	Disk string `json:"disk,omitempty"` // ARMS_DISK as the script saw it
	Text string `json:"text,omitempty"` // one sentence, for the operator: what failed
	// Millis is how long the step took.
	Millis int64 `json:"millis,omitempty"`
}

// Kind is the kind of a command.
type Kind string

// The commands. Those marked (leader) are proposed by the leader's own judgement.
const (
	KindConfigure Kind = "configure" // (leader) the configuration file's rules
	KindArrive    Kind = "arrive"    // (leader) a server is heard that has no open session
	KindLost      Kind = "lost"      // (leader) sessions are over
	KindBegin     Kind = "begin"     // (leader) all servers are there, or startup.wait is over
	KindResult    Kind = "result"    // a step has ended
	KindAnomaly   Kind = "anomaly"   // a resource of a group has failed in operation
	KindNormal    Kind = "normal"    // a group's resources have been normal for reset_after
	KindOperate   Kind = "operate"   // an operator asks for something
	KindNote      Kind = "note"      // a line for the event log
)

// Command is one entry of the log. Only the fields that the kind names are set.
type Command struct {
	Kind Kind  `json:"kind"`
	At   int64 `json:"at"` // wall clock of the proposer, unix milliseconds; for people only

	Config *Config `json:"config,omitempty"` // configure
	// Server: arrive, result, anomaly, normal, note.
	Server  string   `json:"server,omitempty"`
	Session uint64   `json:"session,omitempty"` // arrive: offered; result, anomaly, normal: run under
	Boot    string   `json:"boot,omitempty"`    // arrive
	Life    string   `json:"life,omitempty"`    // arrive
	Lost    []Loss   `json:"lost,omitempty"`    // lost
	Token   uint64   `json:"token,omitempty"`   // result
	Outcome *Outcome `json:"outcome,omitempty"`
	Group   string   `json:"group,omitempty"` // anomaly, normal, note
	// Resource: anomaly. The kind of resource: floating_ip, partition, nfs, ...
	Resource string `json:"resource,omitempty"`
	Text     string `json:"text,omitempty"` // begin: why now; anomaly, note
	Code     string `json:"code,omitempty"` // note: the event's code
	Severity string `json:"severity,omitempty"`
	Op       *Op    `json:"op,omitempty"` // operate
}

// Loss is one server whose session is over, or that was there without one.
type Loss struct {
	Server  string `json:"server"`
	Session uint64 `json:"session"` // the session that ends; 0 for a server without one
	Reason  string `json:"reason"`  // "silent on 3 of 3 paths for 1.0s", "rebooted", ...
	// Offers is the session that batond there names now, in the same boot: its lease was
	// over, or it has started anew. 0: none, or it is not there.
	Offers uint64 `json:"offers,omitempty"`
}

// Verb is what an operator asks for.
type Verb string

// The operations of SPEC sections 2 and 3.
const (
	VerbStart           Verb = "start"
	VerbStop            Verb = "stop"
	VerbMove            Verb = "move"
	VerbFailover        Verb = "failover"
	VerbRestart         Verb = "restart" // the group's scripts, where it runs (armload)
	VerbDisconnect      Verb = "disconnect"
	VerbReturn          Verb = "return"
	VerbShutdown        Verb = "shutdown"         // one server
	VerbShutdownCluster Verb = "shutdown-cluster" //
)

// Then is what becomes of a machine after its server has been shut down.
type Then string

// The ends of a machine; "" leaves it running, without batond.
const (
	ThenPowerOff Then = "poweroff"
	ThenReboot   Then = "reboot"
)

// OpState is how far an operation has come.
type OpState string

// The states of an operation.
const (
	OpRunning OpState = "running"
	OpDone    OpState = "done"
	OpFailed  OpState = "failed"
	OpRefused OpState = "refused"
)

// Op is an operation that somebody asked for.
type Op struct {
	ID    string `json:"id"` // chosen by the server that was asked; a second entry with it is ignored
	Verb  Verb   `json:"verb"`
	Group string `json:"group,omitempty"`
	// Server: target of start and move, object of the server verbs. Where a move named
	// none, the state fills in the one it chose.
	Server string `json:"server,omitempty"`
	Who    Who    `json:"who"`
	// Then, of a shutdown: what every server that is shut down does last.
	Then Then `json:"then,omitempty"`
	// Revision of the picture the asker saw; 0 means he does not say. The operation
	// is refused if its object has changed since.
	Revision uint64  `json:"revision,omitempty"`
	State    OpState `json:"state,omitempty"`
	Begun    int64   `json:"begun,omitempty"`
	Ended    int64   `json:"ended,omitempty"`
	Text     string  `json:"text,omitempty"` // result or refusal, one sentence
	Code     string  `json:"code,omitempty"` // refusal: stable code
	Hint     string  `json:"hint,omitempty"` // refusal: what would help
	// Changed is the index of the entry that began, refused or ended it.
	Changed uint64 `json:"changed,omitempty"`
}

// Who asked for an operation.
type Who struct {
	User string `json:"user"`
	UID  int    `json:"uid"`
	// Login is who has logged in, where that is not User: somebody who has become root.
	Login string `json:"login,omitempty"`
	// From is the terminal and the SSH client, by the kernel's word on the server asked.
	From string `json:"from,omitempty"`
	// Says is the same by the asker's own word, where the kernel does not confirm it.
	Says string `json:"says,omitempty"`
	On   string `json:"on,omitempty"` // the server that was asked
}

// Severity of an event.
const (
	Info  = "info"
	Warn  = "warn"
	Error = "error"
)

// Event is one line of the cluster's event log.
type Event struct {
	ID       uint64 `json:"id"` // grows; the same on every server
	At       int64  `json:"at"` // unix milliseconds
	Severity string `json:"severity"`
	Code     string `json:"code"` // stable, e.g. "group-online"
	Server   string `json:"server,omitempty"`
	Group    string `json:"group,omitempty"`
	Text     string `json:"text"`
	Who      string `json:"who,omitempty"` // operator, where one asked for it, in words
	By       Who    `json:"by,omitzero"`   // the same
}

// Refusal is why an operation cannot be done.
type Refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (r *Refusal) Error() string {
	if r.Hint == "" {
		return r.Message
	}
	return r.Message + " (" + r.Hint + ")"
}
