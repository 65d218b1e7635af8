package bars

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hinshun/vt10x"

	"github.com/pgmove/pgmove/internal/pace"
)

func status() pace.Status {
	eta := 3725.0
	return pace.Status{Command: "run", Seconds: 754, Warnings: 1, Retries: 2, IdleSeconds: 3,
		Phases: []pace.Phase{{Side: "dump", Name: "data"}, {Side: "restore", Name: "data and indexes"}},
		Bars: []pace.Bar{
			{Name: pace.Read, Side: "dump", Rows: 123_456_789, Bytes: 45 << 30, Done: 40, Total: 100, Ratio: 0.402, Rate: 2.5e8, ETA: &eta},
			{Name: pace.Load, Side: "restore", Rows: 99_999, Bytes: 1023, Done: 1, Total: 100, Ratio: 0.01},
			{Name: pace.Build, Side: "restore", Done: 12, Total: 4000, Ratio: 0.003},
			{Name: pace.Check, Side: "validate", Bytes: 0},
			{Name: pace.Verify, Side: "verify", Rows: 7, Bytes: 1 << 20, Done: 3, Total: 3, Ratio: 1},
		},
		Working: []pace.Working{
			{Side: "restore", What: "load", Object: "public.orders", Part: 3, Parts: 12, Bytes: 88 << 20, Seconds: 12},
			{Side: "restore", What: "apply", Object: "INDEX public." + strings.Repeat("long", 20) + "_at_idx", Seconds: 7384},
			{Side: "dump", What: "read", Object: "public.表名是这样写的表名是这样写的表名是这样写的\x1b[2J\n", Seconds: 1},
			{Side: "restore", What: "apply", Object: "INDEX public.a", Count: 50, Seconds: 0.4},
		}}
}

// On every terminal that bars are drawn on, no line is wider than it, nor the frame higher.
func TestFrameFits(t *testing.T) {
	t.Parallel()
	for _, st := range []Style{{}, {Colour: true}, {Plain: true}} {
		for width := MinWidth; width < 250; width++ {
			for _, height := range []int{MinHeight, 10, 50} {
				lines := Frame(status(), width, height, 8, st)
				if len(lines) >= height {
					t.Fatalf("%d lines on a terminal of %d", len(lines), height)
				}
				for _, l := range lines {
					text := bare(l)
					if n := cells(text); n >= width {
						t.Fatalf("%d columns on a terminal of %d: %q", n, width, text)
					}
					if strings.ContainsAny(text, "\x1b\n") {
						t.Fatalf("a name acts on the terminal: %q", text)
					}
					if st.Plain && strings.ContainsAny(text, "–…·█░") {
						t.Fatalf("not plain: %q", text)
					}
					if !st.Colour && text != l {
						t.Fatalf("colours: %q", l)
					}
				}
			}
		}
	}
	t.Logf("\n%s", strings.Join(Frame(status(), 80, 50, 8, Style{}), "\n"))
	t.Logf("\n%s", strings.Join(Frame(status(), 40, 50, 8, Style{Plain: true}), "\n"))
	t.Logf("\n%s", strings.Join(Frame(status(), 120, 50, 3, Style{}), "\n"))
}

func TestFrameTells(t *testing.T) {
	t.Parallel()
	all := strings.Join(Frame(status(), 100, 50, 8, Style{}), "\n")
	for _, want := range []string{"run 12m34s · dump: data · restore: data and indexes · 1 warning · 2 retries", " 40%", "123.5 M rows", "45.0 GiB",
		"238.4 MiB/s", "ETA 1h02m", "12 of 4000", "1023 B", "done", "public.orders", "3/12", "88.0 MiB", "2h03m", "_at_idx", "+49"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not there:\n%s", want, all)
		}
	}
	for _, n := range []struct {
		jobs int
		want string
	}{{1, "and 3 more at work"}} {
		if got := strings.Join(Frame(status(), 100, 50, n.jobs, Style{}), "\n"); !strings.Contains(got, n.want) {
			t.Errorf("%d jobs: %q is not there:\n%s", n.jobs, n.want, got)
		}
	}
}

// Lines are drawn anew in place, others appear above them, and at the end nothing is left of them.
func TestScreen(t *testing.T) {
	t.Parallel()
	term := vt10x.New(vt10x.WithSize(40, 12))
	s := NewScreen(term)
	must := func(want string) {
		t.Helper()
		var lines []string
		for _, l := range strings.Split(term.String(), "\n") {
			lines = append(lines, strings.TrimRight(l, " "))
		}
		if got := strings.TrimRight(strings.Join(lines, "\n"), "\n"); got != want {
			t.Fatalf("there stands\n%s\nbut should\n%s", got, want)
		}
	}
	write := func(text string) {
		t.Helper()
		if n, err := s.Write([]byte(text)); err != nil || n != len(text) {
			t.Fatal(n, err)
		}
	}
	write("before\r\n")
	s.Draw([]string{"one", "two", "three"}, 40)
	must("before\none\ntwo\nthree")
	s.Draw([]string{"ONE", "t"}, 40)
	must("before\nONE\nt")
	write("warning: a\nwarning: b\n")
	must("before\nwarning: a\nwarning: b\nONE\nt")
	write("no end")
	s.Draw([]string{"1", "2", "3"}, 40)
	must("before\nwarning: a\nwarning: b\nno end\n1\n2\n3")
	for range 8 { // it scrolls
		write("more\n")
	}
	s.Draw([]string{"1", "2", "3"}, 40)
	must(strings.Repeat("more\n", 8) + "1\n2\n3")
	s.Clear()
	s.Clear()
	write("after\r\n")
	must("more\nmore\nmore\nmore\nmore\nmore\nmore\nmore\nafter")
	if !term.CursorVisible() {
		t.Error("the cursor is hidden")
	}
	// Where the terminal became too narrow nothing above is touched.
	var b bytes.Buffer
	n := NewScreen(&b)
	n.Draw([]string{strings.Repeat("w", 39)}, 40)
	b.Reset()
	n.Draw([]string{"w"}, 20)
	if strings.Contains(b.String(), "\x1b[A") {
		t.Errorf("the cursor goes up: %q", b.String())
	}
}
