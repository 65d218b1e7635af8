package stream_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

func TestTextJSON(t *testing.T) {
	texts := []string{"", "plain", "Ünïcode 日本", "\xff\xfe", "caf\xe9", "a\x00b", "\x00AAAA", "\u2028 <&>", "\ufffd", `"\`, "\xed\xa0\x80"}
	for b := range 256 {
		texts = append(texts, string([]byte{'a', byte(b)}), string([]byte{byte(b)}))
	}
	for _, s := range texts {
		b, err := json.Marshal(stream.Text(s))
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		var got stream.Text
		if err := json.Unmarshal(b, &got); err != nil || string(got) != s {
			t.Errorf("%q became %s, and that %q (%v)", s, b, got, err)
		}
	}
	var x stream.Text
	for _, bad := range []string{`"\u0000not base64!"`, `5`, `{}`, `"`} {
		if json.Unmarshal([]byte(bad), &x) == nil {
			t.Errorf("%s was taken for a text", bad)
		}
	}
}

// TestTextIsOmitted: a field's omitempty works for a Text.
func TestTextIsOmitted(t *testing.T) {
	b, err := json.Marshal(stream.Table{Name: "t"})
	if err != nil || strings.Contains(string(b), "filter") {
		t.Errorf("%s (%v)", b, err)
	}
}

func TestDisplay(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "日本": "日本", "a\nb\tc": `a\nb\tc`, "\x1b[31mred": `\u001b[31mred`, "caf\xe9": `caf\xe9`,
		"x\u202ey": `x\u202ey`, "x\u061cy": `x\u061cy`, "\u2066": `\u2066`, "\x7f\u0085": `\u007f\u0085`, "\ufffd": "\ufffd",
	} {
		if got := stream.Text(in).Display(); got != want {
			t.Errorf("%q is shown as %s, not as %s", in, got, want)
		}
	}
}

func TestDigestText(t *testing.T) {
	for _, d := range []stream.Digest{
		{}, {Rows: 1, Sum: [2]uint64{1, 0}}, {Rows: math.MaxInt64, Sum: [2]uint64{math.MaxUint64, math.MaxUint64 - 1}},
	} {
		b, err := d.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got stream.Digest
		if err := got.UnmarshalText(b); err != nil || got != d {
			t.Errorf("%s: %v %v", b, got, err)
		}
	}
	if got := (stream.Digest{Rows: 3, Sum: [2]uint64{0x0f, 0xa0}}).String(); got != "3:00000000000000a0000000000000000f" {
		t.Errorf("the text form is %s", got)
	}
	zeros := strings.Repeat("0", 32)
	for _, bad := range []string{"", "1", ":" + zeros, "1:", "1:00", "-1:" + zeros, "1:" + zeros + "0", "1:" + zeros + " x", " 1:" + zeros,
		"+1:" + zeros, "01:" + zeros, "1: " + zeros, "1:" + strings.Repeat("0", 31) + "g", "1:" + strings.Repeat("F", 32), "99999999999999999999:" + zeros} {
		if err := new(stream.Digest).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was taken for a digest", bad)
		}
	}
	var h stream.Hash
	for _, bad := range []string{"", "00", strings.Repeat("0", 63), strings.Repeat("g", 64)} {
		if h.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q was taken for a SHA-256", bad)
		}
	}
}

func TestSectionText(t *testing.T) {
	for s := stream.PreData; s <= stream.PostData; s++ {
		b, err := s.MarshalText()
		var got stream.Section
		if err != nil || got.UnmarshalText(b) != nil || got != s {
			t.Errorf("%v: %s %v %v", s, b, got, err)
		}
	}
	var s stream.Section
	if _, err := stream.Section(0).MarshalText(); err == nil || s.UnmarshalText(nil) == nil || s.UnmarshalText([]byte("section(1)")) == nil {
		t.Error("no section was taken for one")
	}
}

func TestCheckKey(t *testing.T) {
	for _, good := range []string{"a", "toc.dat", "12.dat.zst", "pgmove/chunks/7.json", "blob_16400.dat", "a.b-c_d+e", ".hidden", strings.Repeat("k", 512)} {
		if err := stream.CheckKey(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	bad := []string{"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", "...", "C:", `a\b`, "a b", "a\x00", "a\n", "ä", "%2e%2e", "~", strings.Repeat("k", 513)}
	for _, k := range bad {
		if err := stream.CheckKey(k); err == nil {
			t.Errorf("%q was taken for a key", k)
		} else if k != "" && len(k) > 2 && strings.Contains(err.Error(), k) {
			t.Errorf("the error shows the hostile key: %v", err)
		}
	}
}

func TestKindOf(t *testing.T) {
	inner := stream.Fail(stream.Outage, "gone")
	for want, err := range map[stream.Kind]error{
		stream.Failed:    errors.New("x"),
		stream.Outage:    fmt.Errorf("wrapped: %w", stream.Fail(stream.Failed, "no class").Because(fmt.Errorf("more: %w", inner))),
		stream.Integrity: stream.Fail(stream.Integrity, "outermost").Because(inner),
	} {
		if got := stream.KindOf(err); got != want {
			t.Errorf("%v is of kind %d, not %d", err, got, want)
		}
	}
	if stream.KindOf(nil) != stream.Failed {
		t.Error("nil has a kind")
	}
}
