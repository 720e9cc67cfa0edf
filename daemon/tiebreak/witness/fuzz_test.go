package witness

import (
	"bytes"
	"testing"

	"baton/core/epoch"
)

// Goal: whatever the bytes, decoding returns, and what it takes has exactly this
// encoding.
func FuzzRequest(f *testing.F) {
	f.Add((&request{id: callID{1}, cluster: 1, op: opRead, server: 3}).encode())
	f.Add((&request{id: callID{1}, cluster: 1, op: opRaise, epoch: epoch.ID{Number: 3, Founder: 257}, challenge: challenge{4}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeRequest(b); err == nil && !bytes.Equal(r.encode(), b) {
			t.Errorf("%+v has two encodings", r)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add((&answer{id: callID{1}, status: statusOK, top: epoch.ID{Number: 3, Founder: 257}}).encode())
	f.Add((&answer{status: statusRefused, text: "no", instance: instance{1}, challenge: challenge{2}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := decodeAnswer(b); err == nil && !bytes.Equal(a.encode(), b) {
			t.Errorf("%+v has two encodings", a)
		}
	})
}

// Goal: no datagram, whoever made it, brings the witness down, and none but a sealed
// one is answered.
func FuzzDatagram(f *testing.F) {
	s, err := newSealer(secret("payroll"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.seal(kindRequest, (&request{cluster: 1, op: opRead}).encode()))
	f.Add(s.seal(kindAnswer, (&answer{status: statusOK}).encode()))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, drop := glance(b, kindRequest)
		if drop != "" || h != s.hint {
			return
		}
		if body, err := s.open(kindRequest, b); err == nil {
			_, _ = decodeRequest(body)
		}
	})
}

func FuzzRegister(f *testing.F) {
	f.Add(encodeRegister(0xa1, register{owner: "payroll", top: epoch.ID{Number: 7, Founder: 0x1f02}}))
	f.Add(encodeRegister(1, register{owner: "a \"b\"\n", top: epoch.ID{Number: 1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if cluster, r, err := decodeRegister(b); err == nil && !bytes.Equal(encodeRegister(cluster, r), b) {
			t.Errorf("%+v has two encodings", r)
		}
	})
}

// Goal: registers there and back, also of key files with odd names.
func TestRegisterThereAndBack(t *testing.T) {
	for _, owner := range []string{"payroll", "給与計算", "a b", "x\"y"} {
		want := register{owner: owner, top: epoch.ID{Number: 1<<64 - 1, Founder: 1<<64 - 1}}
		cluster, got, err := decodeRegister(encodeRegister(1<<63, want))
		if err != nil || cluster != 1<<63 || got != want {
			t.Errorf("%s: got %x, %+v, %v", owner, cluster, got, err)
		}
	}
	for _, b := range []string{"", "\n", "baton-register-1", string(encodeRegister(1, register{owner: "", top: epoch.ID{Number: 1}})), string(encodeRegister(0, register{owner: "x", top: epoch.ID{Number: 1}}))} {
		if _, r, err := decodeRegister([]byte(b)); err == nil {
			t.Errorf("%q: read %+v", b, r)
		}
	}
}
