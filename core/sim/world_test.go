package sim

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"baton/core/cluster"
	"baton/core/lease"
	"baton/core/node"
)

// Events come out in the order of their time, and those of one instant in the order
// they were put in.
func TestQueueOrder(t *testing.T) {
	var q queue
	r := rand.New(rand.NewPCG(1, 2))
	type got struct{ at, n int }
	var out []got
	for n := range 2000 {
		at := r.IntN(50)
		q.push(time.Duration(at), func() { out = append(out, got{at, n}) })
		if r.IntN(3) == 0 {
			q.pop() // taken out of the test
		}
	}
	out = nil
	for q.len() > 0 {
		q.pop().do()
	}
	if len(out) < 1000 {
		t.Fatalf("%d events came out", len(out))
	}
	for i := 1; i < len(out); i++ {
		if a, b := out[i-1], out[i]; a.at > b.at || a.at == b.at && a.n > b.n {
			t.Fatalf("%v came before %v", a, b)
		}
	}
}

// "It is never too early."
func TestClockWhen(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 10_000 {
		c := clock{offset: lease.Instant(r.Int64N(1e12)), rate: 0.9 + r.Float64()*0.2}
		at := c.offset + lease.Instant(r.Int64N(1e11))
		w := c.when(at)
		if c.read(w) < at {
			t.Fatalf("%+v shows %v at %v, before %v", c, c.read(w), w, at)
		}
		if early := w - 2*time.Microsecond; early > 0 && c.read(early) >= at {
			t.Fatalf("%+v shows %v already at %v", c, at, early)
		}
	}
}

// A disk is a map whose ranges can be deleted. Method: against one.
func TestDiskApply(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	key := func() []byte { return []byte{byte('a' + r.IntN(8)), byte(r.IntN(4))} }
	var d disk
	model := map[string]string{}
	for range 3000 {
		b := &node.Batch{}
		if r.IntN(3) == 0 {
			from, to := key(), key()
			b.Delete = append(b.Delete, node.KeyRange{From: from, To: to})
			for k := range model {
				if k >= string(from) && k < string(to) {
					delete(model, k)
				}
			}
		}
		for range r.IntN(3) {
			k, v := key(), key()
			b.Put = append(b.Put, node.KeyValue{Key: k, Value: v})
			model[string(k)] = string(v)
		}
		d.apply(b)
		if len(d.pairs) != len(model) {
			t.Fatalf("%d pairs, want %d", len(d.pairs), len(model))
		}
		for i, kv := range d.pairs {
			if model[string(kv.Key)] != string(kv.Value) {
				t.Fatalf("key %q holds %q, want %q", kv.Key, kv.Value, model[string(kv.Key)])
			}
			if i > 0 && string(d.pairs[i-1].Key) >= string(kv.Key) {
				t.Fatalf("key %q comes after %q", kv.Key, d.pairs[i-1].Key)
			}
		}
	}
}

// Overlapping cuts: a link works again when the last fault that cut it is over, and
// the end of a fault that was healed before its time changes nothing.
func TestCutsOverlap(t *testing.T) {
	w := newWorld(Options{Seed: 1}.withDefaults())
	l := link{0, 1, 0}
	w.cut([]link{l}, 2*time.Second)
	w.cut([]link{l}, 3*time.Second)
	for _, tc := range []struct {
		at   time.Duration
		want bool
	}{{time.Second, true}, {2500 * time.Millisecond, true}, {3500 * time.Millisecond, false}} {
		w.runUntil(tc.at)
		if got := w.net.isCut(l); got != tc.want {
			t.Errorf("at %v: cut %v, want %v", tc.at, got, tc.want)
		}
	}
	w.cut([]link{l}, time.Second)
	w.net.calm()
	w.cut([]link{l}, 4*time.Second)
	w.runUntil(6 * time.Second)
	if !w.net.isCut(l) {
		t.Error("the end of a healed fault has undone a later one")
	}
}

// Every field of the state counts: a state that differs in any one of them has
// another digest. Method: change each field in turn, by reflection, so that a field
// that is new is not forgotten.
func TestDigestSeesEveryField(t *testing.T) {
	step := cluster.Step{Token: 1, Kind: cluster.StepStart, Group: "g1", Server: "s1", Session: 1}
	fresh := func() *cluster.State {
		return &cluster.State{
			Index: 1, Phase: cluster.PhaseRunning,
			Config:  cluster.Config{Servers: []string{"s1"}, Groups: []cluster.GroupConfig{{Name: "g1", Policy: []string{"s1"}}}},
			Servers: []cluster.Server{{Name: "s1", FailedWith: []string{"g1"}, Recovering: []cluster.Step{step}}},
			Groups: []cluster.Group{{
				Name: "g1", Step: &step, Next: []cluster.Intent{{Kind: cluster.StepStop}},
				Anomalies: []cluster.Anomaly{{Server: "s1", At: 1, Text: "x"}},
			}},
			Ops:    []cluster.Op{{ID: "op-1", Verb: cluster.VerbMove}},
			Events: []cluster.Event{{ID: 1}},
		}
	}
	want := digest(fresh())
	if again := digest(fresh()); again != want {
		t.Fatal("one state has two digests")
	}
	var paths []string
	var walk func(v reflect.Value, path string)
	// visit makes a list of paths and, where one is asked for, changes that field.
	var asked string
	walk = func(v reflect.Value, path string) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i), path+"."+v.Type().Field(i).Name)
			}
			return
		case reflect.Pointer:
			if path == asked {
				v.SetZero()
			}
			if !v.IsNil() {
				paths = append(paths, path)
				// The step is shared with the template: change a copy.
				c := reflect.New(v.Type().Elem())
				c.Elem().Set(v.Elem())
				v.Set(c)
				walk(v.Elem(), path)
			}
			return
		case reflect.Slice:
			paths = append(paths, path)
			if path == asked {
				v.SetZero()
				return
			}
			if v.Len() > 0 {
				walk(v.Index(0), path+"[0]")
			}
			return
		}
		paths = append(paths, path)
		if path != asked {
			return
		}
		switch v.Kind() {
		case reflect.String:
			v.SetString(v.String() + "!")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int, reflect.Int64:
			v.SetInt(v.Int() + 1)
		case reflect.Uint64:
			v.SetUint(v.Uint() + 1)
		default:
			t.Fatalf("%s is a %v: teach the test and digest about it", path, v.Kind())
		}
	}
	walk(reflect.ValueOf(fresh()).Elem(), "")
	all := slices.Clone(paths)
	seen := 0
	for _, path := range all {
		// Of the events only the last ID counts; they are compared as they are told.
		if len(path) > 10 && path[:10] == ".Events[0]" && path != ".Events[0].ID" {
			continue
		}
		st := fresh()
		asked = path
		walk(reflect.ValueOf(st).Elem(), "")
		asked = ""
		if reflect.DeepEqual(st, fresh()) {
			continue // an empty list
		}
		seen++
		if digest(st) == want {
			t.Errorf("the digest does not see %s", path)
		}
	}
	if seen < 60 {
		t.Fatalf("only %d fields were changed", seen)
	}
}

// A stall that is to begin with the next step is a fault like the others: when they are
// over it does not come any more.
func TestHealForgetsStallsToCome(t *testing.T) {
	w := scripted(t, Options{Seed: 1, Servers: 3})
	if !w.started() {
		t.Fatal(noStart)
	}
	s := w.servers[0]
	s.life.halt = 5 * time.Second
	w.heal()
	w.runUntil(w.now + time.Second)
	if s.w.now < s.life.stalled || s.life.halt != 0 {
		t.Error("a server stalls after the faults were over")
	}
}
