package api

import (
	"errors"
	"strings"
	"testing"
)

// Questions that change nothing, and the one operation that the cluster cannot decide.
func TestInsight(t *testing.T) {
	ctx := testContext(t)
	b := newFake()
	c, _ := serve(t, b, nobodyElse)
	if l, err := c.ScriptLog(ctx, "受注"); err != nil || l.Group != "受注" || l.Server == "" || l.Text != "log of 受注, at most 65536" {
		t.Errorf("log: %+v, %v", l, err)
	}
	if why, err := c.Why(ctx, "受注"); err != nil || why != "online on s1 since noon" {
		t.Errorf("why = %q, %v", why, err)
	}
	var refused *Error
	if _, err := c.Why(ctx, "a/b?c"); !errors.As(err, &refused) || refused.Message != "there is no group a/b?c" {
		t.Errorf("why of an odd name: %v", err)
	}
	f, err := c.Foresee(ctx, "s1 & s2 fail")
	if err != nil || len(f.Moves) != 1 || f.Moves[0].Group != "s1 & s2 fail" {
		t.Errorf("forecast = %+v, %v", f, err)
	}
	a, err := c.Operate(ctx, Operation{Verb: VerbForceReturn, Server: "s1"})
	if err != nil || a.ID != "" {
		t.Errorf("forced return = %+v, %v", a, err)
	}
	if len(b.forced) != 1 || !strings.HasPrefix(b.forced[0], "s1 ") || len(b.forced[0]) < 4 {
		t.Errorf("forced: %q", b.forced)
	}
}
