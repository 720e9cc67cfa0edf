package words

// The phrases. In the order of the screen, from top to bottom; a new one is added
// here and in table below, and the test sees to it that both languages have it.
const (
	None Key = iota

	// States. In capitals in English, so that they stand out from names.
	Online
	Stopped
	Down
	Detached
	Starting
	Leaving
	Returning
	Stopping
	Recovering
	FailedWord
	Degraded
	Warning
	Waiting
	NoContact
	NotKnown
	OK
	Lost
	OneWay
	OneWayShort
	PathOff
	Forming
	StoppingCluster
	NoQuorum
	Caution
	Healthy

	// Header.
	Live
	Stale
	LostPicture
	Connecting
	ServersCount
	LeaderIs
	TieIs
	Rev
	OperatorRole
	ViewerRole
	ViewOnlyRole
	At

	// Screens.
	ScreenCluster
	ScreenGroups
	ScreenServers
	ScreenEvents

	// Body.
	Here
	WaitsFor
	LeaseGone
	LastKnown
	StoppedHere
	NotRunning
	NoneThere
	MoreBelow
	HeartbeatPaths
	HeartbeatTitle
	Tiebreaker
	NoTiebreaker
	Votes
	AllPathsOK
	SomePathsOK
	ColServer
	ColState
	ColHeard
	ColGroups
	ColGroup
	ColSince
	ColWhy
	ColPath
	ColNetwork
	ColVerdict
	ColLoss
	ColRTT
	NoGroups
	NoServers
	NoMatch
	GroupsRule
	ServersRule
	ResourcesRule
	WhereRule
	GroupEventsRule
	DetailRule
	FloatingIP
	Script
	Partition
	NFS
	PolicyLine
	Auto
	Manual
	AutostartWord
	LastTookStart
	LastTookStop
	FailoversLine
	CurrentOwner
	Eligible
	HasFailedThere
	NoReport
	Since
	RanWhenFailed
	OtherRules
	NextSteps

	// Events.
	EventsRule
	LiveWord
	PausedWord
	NewMeanwhile
	Inf
	Wrn
	Err
	SevAll
	SevWarn
	SevError
	FilterIs
	NoEvents
	EventBy
	EventLine

	// Keys: what the footer and the help say.
	KeySelect
	KeyServer
	KeyEnds
	KeyPane
	KeyOpen
	KeyBack
	KeyActions
	KeyStart
	KeyStop
	KeyMove
	KeyFailover
	KeyFilter
	KeyCopy
	KeyPause
	KeySeverity
	KeyScreens
	KeyHelp
	KeyQuit
	KeyRedraw
	KeyReconnect
	HelpTitle
	HelpMove
	HelpLook
	HelpAct
	HelpExtra
	HelpSigns
	HelpGrey
	HelpRecord

	// Actions and dialogs.
	ActionsOn
	VerbStart
	VerbStop
	VerbMove
	VerbFailover
	From
	To
	NowLine
	AutoTarget
	TargetHint
	StopsOn
	StartsOn
	StopsStarts
	TookLast
	StartsAuto
	Clients
	StaysStopped
	FailoverIs
	NextIs
	WarnPath
	WarnFailedThere
	WarnRules
	SameAs
	DoStart
	DoStop
	DoMove
	DoFailover
	DoReturn
	DoDisconnect
	DoShutdown
	DoForce
	YDoes
	EscCancels
	EnterNothing
	ArmedIn
	Armed
	CheckedRev
	ChangedMeanwhile
	TypeName
	EnterStops
	EscClose
	NotAvailable
	NotHeard
	SeenIs
	ReconnectNow
	ChooseOne
	EnterPicks

	// Operations on servers, and what they would lead to.
	VerbReturn
	VerbDisconnect
	VerbForce
	VerbShutdown
	VerbShutdownCluster
	KeyReturn
	KeyDisconnect
	KeyForce
	KeyShutdown
	KeyShutdownCluster
	KeyWhy
	LShowsLog
	LogTitle
	LogEmpty
	KeyServerActions
	ReturnHint
	ReturnIs
	DisconnectIs
	ForceIs
	ForceVouch
	ForceRisk
	NeverHeard
	HeardNow
	HeardAgo
	ShutdownIs
	ShutdownClusterIs
	MachineLine
	MachineStays
	MachineOff
	TypeServer
	TypeCluster
	Foreseeing
	NotForeseen
	GoesTo
	ComesUp
	StopsHere
	Becomes
	RecoversOn
	NoGroupTouched
	NoServerLeft
	WhyTitle
	WhyAsked
	WhyUnknown
	AnyKeyCloses

	// Why a key cannot act.
	WhyNoGroup
	WhyNoPicture
	WhyLost
	WhyViewOnly
	WhyViewer
	WhyNoQuorum
	WhyNotRunningPhase
	WhyBusy
	WhyRunning
	WhyStopped
	WhyNotOnline
	WhyNoOther
	WhyNoTarget
	WhyTargetState
	WhyNothingToCopy
	WhyOpPending
	WhyNoServer
	WhyInAlready
	WhyNotThere
	WhyStoppingCluster
	WhyForce
	WhyNotForced

	// Notices.
	Requested
	Accepted
	DoneIn
	Done
	FailedText
	RefusedText
	NotSent
	Unsure
	Copied
	Tried
	CannotReach
	Reconnected
	ExtraRuns
	ExtraDone
	ExtraFailed
	TooSmall

	last
)

var table = [last][2]string{
	None: {" ", " "},

	Online:          {"ONLINE", "稼働中"},
	Stopped:         {"STOPPED", "停止"},
	Down:            {"DOWN", "故障"},
	Detached:        {"DETACHED", "切離し"},
	Starting:        {"STARTING", "起動中"},
	Leaving:         {"LEAVING", "離脱中"},
	Returning:       {"RETURNING", "復帰中"},
	Stopping:        {"STOPPING", "停止中"},
	Recovering:      {"RECOVERY", "回復中"},
	FailedWord:      {"FAILED", "異常"},
	Degraded:        {"DEGRADED", "縮退"},
	Warning:         {"WARNING", "警告"},
	Waiting:         {"WAITING", "待機"},
	NoContact:       {"NO CONTACT", "応答なし"},
	NotKnown:        {"UNKNOWN", "不明"},
	OK:              {"ok", "正常"},
	Lost:            {"LOST", "断"},
	OneWay:          {"LOST %s>%s", "断 %s>%s"},
	OneWayShort:     {"ONE WAY", "片方向断"},
	PathOff:         {"off", "休止"},
	Forming:         {"FORMING", "構成待ち"},
	StoppingCluster: {"SHUTTING DOWN", "終了処理中"},
	NoQuorum:        {"NO QUORUM", "過半数なし"},
	Caution:         {"CAUTION", "注意"},
	Healthy:         {"OK", "正常"},

	Live:         {"LIVE", "最新"},
	Stale:        {"STALE", "遅れ"},
	LostPicture:  {"LOST", "断"},
	Connecting:   {"CONNECTING", "接続中"},
	ServersCount: {"servers %d/%d", "サーバ %d/%d"},
	LeaderIs:     {"leader %s", "リーダ %s"},
	TieIs:        {"tie", "調停"},
	Rev:          {"rev %d", "版 %d"},
	OperatorRole: {"OPERATOR", "操作可"},
	ViewerRole:   {"VIEWER", "参照のみ"},
	ViewOnlyRole: {"VIEW ONLY", "参照のみ"},
	At:           {"at %s", "接続先 %s"},

	ScreenCluster: {"Cluster", "クラスタ"},
	ScreenGroups:  {"Groups", "グループ"},
	ScreenServers: {"Servers", "サーバ"},
	ScreenEvents:  {"Events", "イベント"},

	Here:            {"(here)", "(接続先)"},
	WaitsFor:        {"WAITING: %s", "待機中: %s"},
	LeaseGone:       {"this server has no quorum and runs nothing", "このサーバは過半数を失い、何も動かしていません"},
	LastKnown:       {"last known: %s", "直前の状態: %s"},
	StoppedHere:     {"stopped here, for want of a quorum; another server may run it (%s)", "過半数がないため、このサーバでは停止済み。他のサーバで動作中かもしれません (%s)"},
	NotRunning:      {"not running:", "停止中:"},
	NoneThere:       {"(none)", "(なし)"},
	MoreBelow:       {"+%d more", "ほか %d"},
	HeartbeatPaths:  {"paths", "経路"},
	HeartbeatTitle:  {"heartbeat", "ハートビート"},
	Tiebreaker:      {"tie-breaker", "調停"},
	NoTiebreaker:    {"none", "なし"},
	Votes:           {"quorum", "過半数"},
	AllPathsOK:      {"all %d ok", "%d 本すべて正常"},
	SomePathsOK:     {"%d of %d ok", "%[2]d 本中 %[1]d 本正常"},
	ColServer:       {"server", "サーバ"},
	ColState:        {"state", "状態"},
	ColHeard:        {"heard", "受信"},
	ColGroups:       {"groups", "グループ"},
	ColGroup:        {"group", "グループ"},
	ColSince:        {"since", "経過"},
	ColWhy:          {"why", "理由"},
	ColPath:         {"path", "経路"},
	ColNetwork:      {"network", "ネットワーク"},
	ColVerdict:      {"verdict", "判定"},
	ColLoss:         {"loss", "損失"},
	ColRTT:          {"rtt", "往復"},
	NoGroups:        {"the configuration has no groups", "グループは定義されていません"},
	NoServers:       {"no picture of the cluster yet", "クラスタの状態はまだ届いていません"},
	NoMatch:         {"nothing matches %q (esc: show all)", "%q に合うものはありません (esc: すべて表示)"},
	GroupsRule:      {"groups", "グループ"},
	ServersRule:     {"servers", "サーバ"},
	ResourcesRule:   {"resources (start order)", "資源 (起動順)"},
	WhereRule:       {"where it may run", "運用できるサーバ"},
	GroupEventsRule: {"this group's events", "このグループのイベント"},
	DetailRule:      {"detail", "詳細"},
	FloatingIP:      {"floating IP", "フローティングIP"},
	Script:          {"script", "スクリプト"},
	Partition:       {"partition", "パーティション"},
	NFS:             {"NFS", "NFS"},
	PolicyLine:      {"policy %s", "ポリシ %s"},
	Auto:            {"auto", "自動"},
	Manual:          {"manual", "手動"},
	AutostartWord:   {"autostart %s, failback %s", "自動起動 %s、フェイルバック %s"},
	LastTookStart:   {"last start took %s", "前回の起動 %s"},
	LastTookStop:    {"last stop took %s", "前回の停止 %s"},
	FailoversLine:   {"failovers in a row: %d", "連続フェイルオーバ %d 回"},
	CurrentOwner:    {"runs here", "運用中"},
	Eligible:        {"eligible", "運用可能"},
	HasFailedThere:  {"it ran here when the server failed", "サーバ故障時にここで運用中"},
	NoReport:        {"no report", "報告なし"},
	Since:           {"for %s", "%s 経過"},
	RanWhenFailed:   {"ran %s when it failed", "故障時の運用: %s"},
	OtherRules:      {"its configuration file differs", "構成ファイルが異なります"},
	NextSteps:       {"%d more to follow", "あと %d 手順"},

	EventsRule:   {"events", "イベント"},
	LiveWord:     {"live", "更新中"},
	PausedWord:   {"PAUSED", "一時停止"},
	NewMeanwhile: {"+%d new", "新着 %d"},
	Inf:          {"INF", "情報"},
	Wrn:          {"WRN", "注意"},
	Err:          {"ERR", "異常"},
	SevAll:       {"all", "すべて"},
	SevWarn:      {"WRN and ERR", "注意以上"},
	SevError:     {"ERR only", "異常のみ"},
	FilterIs:     {"filter", "絞込み"},
	NoEvents:     {"no events yet", "イベントはまだありません"},
	EventBy:      {"by %s", "操作者 %s"},
	EventLine:    {"event %d  %s", "イベント %d  %s"},

	KeySelect:    {"select", "選択"},
	KeyServer:    {"server", "サーバ"},
	KeyEnds:      {"top/end", "先頭/末尾"},
	KeyPane:      {"pane", "枠"},
	KeyOpen:      {"open", "詳細"},
	KeyBack:      {"back", "戻る"},
	KeyActions:   {"actions", "操作"},
	KeyStart:     {"start group", "グループ起動"},
	KeyStop:      {"stop group", "グループ停止"},
	KeyMove:      {"move group", "グループ移動"},
	KeyFailover:  {"fail group over", "フェイルオーバ"},
	KeyFilter:    {"filter", "絞込み"},
	KeyCopy:      {"copy", "コピー"},
	KeyPause:     {"pause", "一時停止"},
	KeySeverity:  {"severity", "重要度"},
	KeyScreens:   {"screens", "画面"},
	KeyHelp:      {"help", "ヘルプ"},
	KeyQuit:      {"quit", "終了"},
	KeyRedraw:    {"redraw", "再描画"},
	KeyReconnect: {"reconnect now", "再接続"},
	HelpTitle:    {"Keys on this screen (%s); any key closes this", "この画面のキー (%s) どのキーでも閉じます"},
	HelpMove:     {"move around", "移動"},
	HelpLook:     {"look", "参照"},
	HelpAct:      {"act (asks first)", "操作 (確認あり)"},
	HelpExtra:    {"faults", "障害の模擬"},
	HelpSigns:    {"Signs (never colour alone)", "記号 (色だけでは示しません)"},
	HelpGrey:     {"A grey key is not possible now: press it to see why.", "灰色のキーは今は使えません。押すと理由を表示します。"},
	HelpRecord:   {"Every action is in the event log with your name.", "すべての操作は操作者名とともに記録されます。"},

	ActionsOn:        {"ACTIONS ON %s", "%s の操作"},
	VerbStart:        {"START GROUP %s", "グループ %s の起動"},
	VerbStop:         {"STOP GROUP %s", "グループ %s の停止"},
	VerbMove:         {"MOVE GROUP %s", "グループ %s の移動"},
	VerbFailover:     {"FAIL OVER GROUP %s", "グループ %s のフェイルオーバ"},
	From:             {"from", "移動元"},
	To:               {"to", "先"},
	NowLine:          {"now", "現在"},
	AutoTarget:       {"automatic", "自動"},
	TargetHint:       {"(left/right, %d of %d)", "(左右キー %d/%d)"},
	StopsOn:          {"Stops its %d resources on %s%s.", "%[2]s で %[1]d 個の資源を停止します%[3]s。"},
	StartsOn:         {"Starts its %d resources on %s%s.", "%[2]s で %[1]d 個の資源を起動します%[3]s。"},
	StopsStarts:      {"Stops its %d resources on %s%s, then starts them on %s%s.", "%[2]s で %[1]d 個の資源を停止し%[3]s、%[4]s で起動します%[5]s。"},
	TookLast:         {" (took %s last time)", " (前回 %s)"},
	StartsAuto:       {"Starts its %d resources where it ran last if that server is online, else on the first online one of its policy%s.", "前回のサーバが稼働中ならそこで、そうでなければ優先順で %d 個の資源を起動します%s。"},
	Clients:          {"Clients of %s are cut off meanwhile.", "その間 %s の利用者は切断されます。"},
	StaysStopped:     {"It stays stopped until an operator starts it or the cluster starts.", "操作者が起動するか、クラスタが起動するまで停止したままです。"},
	FailoverIs:       {"As if a fault had been found in it: it is stopped on %s and started on the next server.", "異常を検出したときと同じく、%s で停止し、次のサーバで起動します。"},
	NextIs:           {"Next server of its policy: %s", "ポリシの次のサーバ: %s"},
	WarnPath:         {"%s: heartbeat lost on %s.", "%s: ハートビート断 (%s)。"},
	WarnFailedThere:  {"%s failed while it ran there.", "%s はこのグループの運用中に故障しました。"},
	WarnRules:        {"%s has another configuration file.", "%s の構成ファイルは異なります。"},
	SameAs:           {"same as:  %s", "コマンド: %s"},
	DoStart:          {"start", "起動"},
	DoStop:           {"stop", "停止"},
	DoMove:           {"move", "移動"},
	DoFailover:       {"failover", "フェイルオーバ"},
	DoReturn:         {"return", "復帰"},
	DoDisconnect:     {"disconnect", "切り離し"},
	DoShutdown:       {"shutdown", "停止"},
	DoForce:          {"force-return", "強制復帰"},
	YDoes:            {"y = %s", "y = %s"},
	EscCancels:       {"esc = cancel", "esc = 中止"},
	EnterNothing:     {"(enter does nothing)", "(Enter では実行されません)"},
	ArmedIn:          {"y works in a moment", "y はまもなく有効"},
	Armed:            {"y works now", "y は有効"},
	CheckedRev:       {"checked against rev %d", "版 %d に対して検査"},
	ChangedMeanwhile: {"The picture has changed since you opened this: look again.", "開いてから状態が変わりました。もう一度確認してください。"},
	TypeName:         {"Type the group's name to go on:  %s", "続けるにはグループ名を入力:  %s"},
	EnterStops:       {"enter (only when it matches) = %s", "Enter (一致したときのみ) = %s"},
	EscClose:         {"esc = close", "esc = 閉じる"},
	NotAvailable:     {"NOT AVAILABLE", "操作できません"},
	NotHeard:         {"no word from the cluster for %s.", "クラスタから %s 間応答がありません。"},
	SeenIs:           {"This is the state of %s.", "表示は %s 時点のものです。"},
	ReconnectNow:     {"ctrl+r = reconnect now", "ctrl+r = 今すぐ再接続"},
	ChooseOne:        {"j/k or a digit", "j/k または数字"},
	EnterPicks:       {"enter = do it", "Enter = 実行"},

	VerbReturn:          {"RETURN SERVER %s", "サーバ %s の復帰"},
	VerbDisconnect:      {"DISCONNECT SERVER %s", "サーバ %s の切離し"},
	VerbShutdown:        {"SHUT DOWN SERVER %s", "サーバ %s の停止"},
	VerbShutdownCluster: {"SHUT DOWN CLUSTER %s", "クラスタ %s の停止"},
	VerbForce:           {"FORCED RETURN OF %s", "サーバ %s の強制復帰"},
	KeyReturn:           {"return server", "サーバ復帰"},
	KeyDisconnect:       {"disconnect", "サーバ切離し"},
	KeyShutdown:         {"shut down", "サーバ停止"},
	KeyShutdownCluster:  {"shut down all", "クラスタ停止"},
	LShowsLog:           {"l = log of its scripts here", "l = スクリプトのログ"},
	LogTitle:            {"SCRIPT LOG OF %s, HERE", "%s のスクリプトログ (このサーバ)"},
	LogEmpty:            {"No script of it has run on this server.", "このサーバで実行されたスクリプトはありません。"},
	KeyWhy:              {"why", "理由"},
	KeyServerActions:    {"server actions", "サーバの操作"},
	ReturnHint:          {"a %s return", "a %s 復帰"},
	ReturnIs:            {"Takes %s back into the cluster. Groups do not move back by themselves, unless failback is auto.", "%s をクラスタに復帰させます。\n自動フェイルバックの指定がなければグループは移動しません。"},
	KeyForce:            {"forced return", "強制復帰"},
	DisconnectIs:        {"Takes %s out of the cluster. It stays out, over reboots too, until an operator returns it.", "%s をクラスタから切り離します。\n操作者が復帰させるまで、再起動しても切離しのままです。"},
	ShutdownIs:          {"Its groups leave %s, then batond ends there. It joins again by itself when it boots.", "グループを %s から移し、batond を終了します。\n次に起動したとき自動でクラスタに加わります。"},
	MachineLine:         {"MACHINE", "マシン"},
	MachineStays:        {"stays on", "電源は入れたまま"},
	MachineOff:          {"POWERS OFF", "電源を切る"},
	ForceIs:             {"%s has no quorum. With this it goes on alone, without asking anybody.", "過半数がありません。強制復帰すると、%s は単独で運用を続けます。"},
	ForceVouch:          {"YOU VOUCH that every other server is off, or cut off from disks and networks:", "操作者の保証: 他のすべてのサーバは停止済み、またはディスクとネットワークから切断済みです"},
	ForceRisk:           {"If one of them still runs, groups run twice and both write to their data; and what it has decided without this server is lost when they meet again.", "どれかが動作していると、グループが二重に運用され、双方がデータに書き込みます。また、そのサーバがこのサーバなしで決定したことは失われます。"},
	NeverHeard:          {"never heard", "一度も応答なし"},
	HeardNow:            {"HEARD NOW: it is not off", "現在応答あり: 停止していません"},
	HeardAgo:            {"last heard %s ago", "最後の応答は %s 前"},
	ShutdownClusterIs:   {"Every group stops, all at the same time; then batond ends on all %d servers.", "すべてのグループを同時に停止し、%d 台すべての batond を終了します。"},
	TypeServer:          {"Type the server's name to go on:  %s", "続けるにはサーバ名を入力:  %s"},
	TypeCluster:         {"Type the cluster's name to go on:  %s", "続けるにはクラスタ名を入力:  %s"},
	Foreseeing:          {"asking the cluster what would happen …", "何が起きるかクラスタに問い合わせています …"},
	NotForeseen:         {"What would happen is not known: %s", "何が起きるか分かりません: %s"},
	GoesTo:              {"%s: stops on %s, starts on %s", "%s: %s で停止し、%s で起動"},
	ComesUp:             {"%s: starts on %s", "%s: %s で起動"},
	StopsHere:           {"%s: stops on %s (%s)", "%s: %s で停止 (%s)"},
	Becomes:             {"%s: %s (%s)", "%s: %s (%s)"},
	RecoversOn:          {"%s: start script with RECOVER on %s", "%s: %s で起動スクリプトを RECOVER で実行"},
	NoServerLeft:        {"No server is left in the cluster then. It starts anew when they are there again.", "クラスタに稼働中のサーバがなくなります。サーバが揃うと再び起動します。"},
	NoGroupTouched:      {"No group stops or moves.", "停止や移動をするグループはありません。"},
	WhyTitle:            {"WHY IS %s WHERE IT IS", "%s の状態の理由"},
	WhyAsked:            {"asking …", "問い合わせ中 …"},
	WhyUnknown:          {"no answer: %s", "回答がありません: %s"},
	AnyKeyCloses:        {"any key closes this", "どのキーでも閉じます"},

	WhyNoGroup:         {"no group is selected", "グループが選択されていません"},
	WhyNoPicture:       {"no picture of the cluster yet", "クラスタの状態がまだ届いていません"},
	WhyLost:            {"the picture is lost: nothing can be asked of the cluster now (ctrl+r tries again)", "クラスタとの接続が断のため操作できません (ctrl+r で再接続)"},
	WhyViewOnly:        {"this console was started with --view", "このコンソールは --view で起動されています"},
	WhyViewer:          {"you may view, not operate: root and group baton may", "参照のみ許可されています。操作できるのは root と baton グループです"},
	WhyNoQuorum:        {"no quorum: nobody may decide now", "過半数がないため、今は誰も決定できません"},
	WhyNotRunningPhase: {"the cluster has not begun yet: %s", "クラスタはまだ始まっていません: %s"},
	WhyBusy:            {"%s is %s now", "%s は現在 %s です"},
	WhyRunning:         {"%s runs already, on %s", "%s はすでに %s で運用中です"},
	WhyStopped:         {"%s is stopped already", "%s はすでに停止しています"},
	WhyNotOnline:       {"%s does not run", "%s は運用中ではありません"},
	WhyNoOther:         {"no other server of its policy is online (%s)", "ポリシの他のサーバが稼働していません (%s)"},
	WhyNoTarget:        {"no server of its policy is online (%s)", "ポリシのサーバが稼働していません (%s)"},
	WhyTargetState:     {"%s is %s, not online: choose another", "%s は %s のため選べません"},
	WhyNothingToCopy:   {"nothing is selected", "選択されていません"},
	WhyOpPending:       {"the last request is still on its way", "前の要求を送信中です"},
	WhyNoServer:        {"no server is selected", "サーバが選択されていません"},
	WhyInAlready:       {"%s is in the cluster already", "%s はすでにクラスタに入っています"},
	WhyNotThere:        {"%s is %s: boot it first", "%s は %s です。先に起動してください"},
	WhyStoppingCluster: {"the cluster is being shut down", "クラスタは終了処理中です"},
	WhyForce:           {"no quorum: nobody may decide now. If the other servers are surely off: F, the forced return of %s", "過半数がないため、今は誰も決定できません。他のサーバが確実に停止しているなら: F (%s の強制復帰)"},
	WhyNotForced:       {"%s has a quorum: there is nothing to force", "%s には過半数があります。強制復帰は必要ありません"},

	Requested:   {"%s: requested …", "%s: 要求しました …"},
	Accepted:    {"%s: accepted, under way", "%s: 受け付けられ、実行中です"},
	DoneIn:      {"%s: done in %s. %s", "%s: 完了 (%s)。%s"},
	Done:        {"%s: done. %s", "%s: 完了。%s"},
	FailedText:  {"%s: failed: %s", "%s: 失敗: %s"},
	RefusedText: {"%s: refused: %s", "%s: 拒否: %s"},
	NotSent:     {"%s: not sent: %s", "%s: 送信できません: %s"},
	Unsure:      {"%s: accepted, and then contact was lost; the cluster goes on with it", "%s: 受け付け後に接続が断。クラスタは処理を続けます"},
	Copied:      {"copied: %s", "コピーしました: %s"},
	Tried:       {"trying to reach the cluster …", "クラスタに接続しています …"},
	CannotReach: {"cannot reach batond (%s); trying again", "batond に接続できません (%s)。再試行します"},
	Reconnected: {"connected again, now to %s", "再接続しました: %s"},
	ExtraRuns:   {"%s …", "%s …"},
	ExtraDone:   {"%s: done", "%s: 完了"},
	ExtraFailed: {"%s: %s", "%s: %s"},
	TooSmall:    {"baton needs 60x16, this is %dx%d", "baton には 60x16 が必要です (現在 %dx%d)"},
}
