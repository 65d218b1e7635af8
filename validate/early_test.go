package validate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// fake is a target with one row in each of its tables, which is its name.
type fake struct {
	entries []stream.Entry
	broken  map[stream.Text]bool // can't be read early
	early   map[stream.Text]string
	late    []stream.Text // tables that were read at the end
}

func (f *fake) Parts(*stream.Table) int { return 2 }

func (f *fake) LoadedTo(_ context.Context, e *stream.Entry, _ string, part, _ int, w io.Writer) error {
	if f.broken[e.Tag] {
		return errors.New("the connection broke")
	}
	row := string(e.Tag)
	if r, ok := f.early[e.Tag]; ok {
		row = r
	}
	if part == 1 {
		_, err := fmt.Fprintln(w, row)
		return err
	}
	return nil
}

func (f *fake) Entries(context.Context) (stream.Header, []stream.Entry, error) {
	return stream.Header{}, f.entries, nil
}
func (f *fake) Contents() ([]stream.SequenceValue, []stream.SchemaItem) { return nil, nil }
func (f *fake) Split(context.Context, *stream.Entry) ([]stream.Chunk, error) {
	return []stream.Chunk{{}}, nil
}
func (f *fake) CopyTo(_ context.Context, e *stream.Entry, _ stream.Chunk, w io.Writer) error {
	f.late = append(f.late, e.Tag)
	_, err := fmt.Fprintln(w, e.Tag)
	return err
}

// TestEarly: what was read early and is equal is not read again; all else is, and only its state at the end counts.
func TestEarly(t *testing.T) {
	f := &fake{broken: map[stream.Text]bool{"broken": true}, early: map[stream.Text]string{"changed": "was another"}}
	want := &stream.Contents{}
	early := NewEarly(f, nil)
	for i, name := range []stream.Text{"equal", "broken", "changed", "half", "otherwise", "never"} {
		id := stream.DumpID(i + 1)
		e := stream.Entry{ID: id, Tag: name, Table: &stream.Table{Namespace: "s", Name: name}}
		f.entries = append(f.entries, e)
		d, _, err := digest(stream.FormatText, func(w io.Writer) error { _, err := fmt.Fprintln(w, name); return err })
		if err != nil {
			t.Fatal(err)
		}
		want.Tables = append(want.Tables, stream.TableContents{ID: id, Table: *e.Table, Format: stream.FormatText, Digest: d})
		format, parts := stream.FormatText, 2
		switch name {
		case "half":
			parts = 1
		case "otherwise":
			format = stream.FormatBlobs
			f.broken[name] = true
		case "never":
			parts = 0
		}
		for p := range parts {
			if err := early.Check(t.Context(), &e, format, p, 2); err != nil {
				t.Fatal(err)
			}
		}
	}
	res, err := Run(t.Context(), want, f, Options{Level: Digest, Early: early, NoSchema: true})
	if err != nil {
		t.Fatal(err)
	}
	if res.Err() != nil || len(res.Tables) != 6 {
		t.Errorf("%v, %d tables", res.Err(), len(res.Tables))
	}
	for _, tab := range res.Tables {
		if tab.Verdict != Equal {
			t.Errorf("%s: %s", tab.Name, tab.Verdict)
		}
	}
	if got := fmt.Sprint(f.late); got != "[broken changed half otherwise never]" {
		t.Errorf("read at the end: %s", got)
	}
}

// TestEarlyEnds: a cancelled run is no table that could not be read.
func TestEarlyEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	y := NewEarly(&fake{}, nil)
	if err := y.Check(ctx, &stream.Entry{Table: &stream.Table{}}, stream.FormatText, 0, 1); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}
