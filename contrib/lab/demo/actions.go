package main

import (
	"context"
	"fmt"

	"baton/contrib/lab"
	"baton/tui/console"
)

// texts are the demo's own words. Formats have their arguments in one order in every
// language, or number them.
type texts struct {
	cut, cutHelp       string
	boot, bootHelp     string
	pull, pullHelp     string
	plug, plugHelp     string
	crash, crashHelp   string
	freeze, freezeHelp string

	kill, start, stall, resume string // choices, each with a server

	never, silent, answers, outage string // the client's line
	bye                            string
}

var english = texts{
	cut: "cut power", cutHelp: "Cut a server's power: every program on it is gone at once.",
	boot: "boot", bootHelp: "Switch a server on again, with the disk it had.",
	pull: "pull cable", pullHelp: "Pull a network cable out of a server.",
	plug: "plug cable", plugHelp: "Plug a network cable in again.",
	crash: "crash batond", crashHelp: "Kill batond on a server (SIGKILL), or start it again.",
	freeze: "freeze", freezeHelp: "Stop every program on a server (SIGSTOP), or let them go on.",
	kill: "kill batond on %s", start: "start batond on %s", stall: "freeze %s", resume: "thaw %s",
	never:   "client: GET %s has no answer yet",
	silent:  "client: GET %s no answer for %.1fs (last: %s)",
	answers: "client: GET %s answered by %s",
	outage:  "client: GET %s answered by %s, last outage %.2fs, %s ago",
	bye:     "The demo is over; everything has been taken down.",
}

var japanese = texts{
	cut: "電源断", cutHelp: "サーバの電源を切ります。動作中のプログラムはすべて即座に消えます。",
	boot: "起動", bootHelp: "サーバの電源を入れます。ディスクの内容は残っています。",
	pull: "ケーブルを抜く", pullHelp: "サーバのネットワークケーブルを抜きます。",
	plug: "ケーブルを挿す", plugHelp: "抜いたネットワークケーブルを挿します。",
	crash: "batondを落とす", crashHelp: "サーバの batond を強制終了 (SIGKILL) します。または再び起動します。",
	freeze: "凍結", freezeHelp: "サーバの全プログラムを停止 (SIGSTOP) します。または再開します。",
	kill: "%s の batond を強制終了", start: "%s の batond を起動", stall: "%s を凍結", resume: "%s を再開",
	never:   "クライアント: GET %s まだ応答なし",
	silent:  "クライアント: GET %s %.1f 秒間応答なし (最後の応答: %s)",
	answers: "クライアント: GET %s %s が応答",
	outage:  "クライアント: GET %s %s が応答、直近の停止 %.2f 秒 (%s 前)",
	bye:     "デモを終了しました。すべて片付けました。",
}

// actions are the demo's keys in the console. A choice's value is the line that
// lab.Command carries out.
func actions(l *lab.Lab, t *texts) []console.ExtraAction {
	obey := func(ctx context.Context, line string) error {
		_, err := l.Command(ctx, line)
		return err
	}
	on := func(s *lab.Server) bool { return s.On() }
	add := func(key, label, help string, choices func() []console.Choice) console.ExtraAction {
		return console.ExtraAction{Key: key, Label: label, Help: help, Choices: choices, Run: obey}
	}
	return []console.ExtraAction{
		add("x", t.cut, t.cutHelp, func() []console.Choice { return offer(l, "cut", "", on) }),
		add("b", t.boot, t.bootHelp, func() []console.Choice {
			return offer(l, "boot", "", func(s *lab.Server) bool { return !s.On() })
		}),
		add("u", t.pull, t.pullHelp, func() []console.Choice { return cables(l, "pull", false) }),
		add("i", t.plug, t.plugHelp, func() []console.Choice { return cables(l, "plug", true) }),
		add("d", t.crash, t.crashHelp, func() []console.Choice {
			return append(offer(l, "kill", t.kill, func(s *lab.Server) bool { return s.Batond() != nil }),
				offer(l, "start", t.start, func(s *lab.Server) bool { return s.On() && s.Batond() == nil })...)
		}),
		add("z", t.freeze, t.freezeHelp, func() []console.Choice {
			return append(offer(l, "stall", t.stall, func(s *lab.Server) bool { return s.On() && !s.Stalled() }),
				offer(l, "resume", t.resume, func(s *lab.Server) bool { return s.On() && s.Stalled() })...)
		}),
	}
}

// offer makes a choice of each server for which ok holds. label "" is the server's name.
func offer(l *lab.Lab, verb, label string, ok func(*lab.Server) bool) []console.Choice {
	if label == "" {
		label = "%s"
	}
	var list []console.Choice
	for _, name := range l.Names(ok) {
		list = append(list, console.Choice{Value: verb + " " + name, Label: fmt.Sprintf(label, name)})
	}
	return list
}

// cables offers those of all servers that have power, pulled ones or the others.
func cables(l *lab.Lab, verb string, pulled bool) []console.Choice {
	var list []console.Choice
	for _, s := range l.Servers {
		for _, n := range s.Networks() {
			if s.On() && s.Pulled(n) == pulled {
				list = append(list, console.Choice{Value: verb + " " + s.Name + " " + n, Label: s.Name + " " + n})
			}
		}
	}
	return list
}
