// Package myarchive opens a directory that stock mydumper wrote, as a stream.Reader, or one of pgmove's whose own
// metadata is gone. It turns the files with SQL into entries and finds those that hold rows.
//
// It imports stream and the standard library, and what unpacks files. It never talks to a database, never writes to a store, and
// trusts nothing of what it reads; SQL it hands on as it stands.
package myarchive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/pgmove/pgmove/stream"
)

// Index is the file that every such directory has.
const Index = "metadata"

// maxFile bounds, in bytes, a file with SQL, unpacked.
const maxFile = 256 << 20

// archive is a directory while it is being understood.
type archive struct {
	store    stream.Store
	location string
	database string // as the files' names begin
	files    map[string]file
	tables   map[string]*table // by the files' name for it
	programs []*program
	counted  map[string]int64 // rows, by the files' name for their table, where the dump tells
	out      stream.Foreign
	contents stream.Contents
	warnings []string
}

// file is one file, by its name without the suffix of its compression.
type file struct {
	key  string
	z    stream.Compression
	size int64
}

// Open opens the directory in the store. location names it in errors.
//
// The Contents name the tables whose rows can be counted on a target. The warnings say what is not restored or not comparable.
//
// What is damaged or contradicts itself is a Failure of kind Integrity. A sound directory that pgmove can't take, but myloader
// can, is one of kind Preflight.
func Open(ctx context.Context, s stream.Store, location string) (*stream.Reader, *stream.Contents, []string, error) {
	a := &archive{store: s, location: location, files: map[string]file{}, tables: map[string]*table{}}
	a.out.Objects = map[string][]stream.ForeignObject{}
	for _, step := range []func(context.Context) error{a.list, a.header, a.schema, a.data, a.counts, a.loads, a.zones} {
		if err := step(ctx); err != nil {
			return nil, nil, nil, err
		}
	}
	a.entries()
	a.contents.Header = a.out.Header
	return stream.OpenForeign(s, location, a.out), &a.contents, a.warnings, nil
}

func (a *archive) damaged(format string, args ...any) *stream.Failure {
	return (&stream.Failure{Kind: stream.Integrity, Object: a.location, Msg: fmt.Sprintf(format, args...)}).
		WithHint("the dump is damaged or incomplete: dump again, or fetch it from where it is whole")
}

func (a *archive) refused(format string, args ...any) *stream.Failure {
	return (&stream.Failure{Kind: stream.Preflight, Object: a.location, Msg: fmt.Sprintf(format, args...)}).
		WithHint("restore it with myloader, or dump with pgmove")
}

// list finds out what files there are, and of which database.
func (a *archive) list(ctx context.Context) error {
	if s, ok := a.store.(stream.Stranger); ok {
		strange, err := s.Strange(ctx)
		if err != nil {
			return err
		}
		if len(strange) > 0 {
			return a.refused("it has files whose names pgmove does not take, or links in their places: %s", names(strange))
		}
	}
	all, err := a.store.List(ctx, "")
	if err != nil {
		return fmt.Errorf("list %s: %w", a.location, err)
	}
	databases := map[string]bool{}
	for _, o := range all {
		if strings.Contains(o.Key, "/") {
			continue
		}
		f := file{key: o.Key, z: stream.None, size: o.Size}
		name := o.Key
		for _, z := range []stream.Compression{stream.Gzip, stream.Zstd} {
			if n, ok := strings.CutSuffix(name, z.Suffix()); ok {
				name, f.z = n, z
			}
		}
		if _, twice := a.files[name]; twice {
			return a.damaged("%s is there in two forms", name)
		}
		a.files[name] = f
		if db, ok := strings.CutSuffix(name, "-schema-create.sql"); ok {
			databases[db] = true
		}
	}
	switch dbs := slices.Sorted(maps.Keys(databases)); len(dbs) {
	case 1:
		a.database = dbs[0]
		return nil
	case 0:
		return a.refused("it holds no database's definition (mydumper --no-schemas)")
	default:
		return a.refused("it holds several databases: %s", names(dbs)).WithHint("dump one of them, by mydumper --database, or restore it with myloader")
	}
}

// names shows the first ones of many.
func names(list []string) string {
	const shown = 5
	var out []string
	for i, n := range list {
		if i == shown {
			out = append(out, fmt.Sprintf("and %d more", len(list)-shown))
			break
		}
		out = append(out, stream.Text(n).Display())
	}
	return strings.Join(out, ", ")
}

// header reads the index, which is complete when the dump was, and makes the header.
func (a *archive) header(ctx context.Context) error {
	text, err := a.text(ctx, Index)
	if err != nil {
		return err
	}
	if !strings.Contains(text, "Finished dump at:") {
		return a.damaged("%s does not say that the dump was finished", Index)
	}
	h := sha256.New()
	_, _ = io.WriteString(h, text)
	for _, name := range slices.Sorted(maps.Keys(a.files)) {
		fmt.Fprintf(h, "%s %d\n", a.files[name].key, a.files[name].size)
	}
	sum := h.Sum(nil)
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	run := fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	a.out.Header = stream.Header{Format: stream.FormatVersion, Run: run, Engine: "mysql", Tool: "mydumper", Compression: stream.None,
		Source: stream.Source{Version: "unknown", Database: stream.Text(a.database), Encoding: "utf8mb4"}}
	return nil
}

// text reads a file with SQL, unpacked.
func (a *archive) text(ctx context.Context, name string) (string, error) {
	text, err := a.head(ctx, name, maxFile+1)
	if len(text) > maxFile {
		return "", a.damaged("%s is larger than %d bytes", name, maxFile)
	}
	return text, err
}

// head reads a file's first bytes, up to most.
func (a *archive) head(ctx context.Context, name string, most int64) (string, error) {
	f, ok := a.files[name]
	if !ok {
		return "", a.damaged("%s is missing", name)
	}
	rc, err := a.store.Get(ctx, f.key, 0)
	if errors.Is(err, stream.ErrNotExist) {
		return "", a.damaged("%s is missing", f.key)
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", f.key, err)
	}
	defer func() { _ = rc.Close() }()
	r := io.Reader(rc)
	switch f.z {
	case stream.Gzip:
		z, err := gzip.NewReader(rc)
		if err != nil {
			return "", a.damaged("%s", f.key).Because(err)
		}
		r = z
	case stream.Zstd:
		z, err := zstd.NewReader(rc, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return "", a.damaged("%s", f.key).Because(err)
		}
		defer z.Close()
		r = z
	}
	b, err := io.ReadAll(io.LimitReader(r, most))
	if err != nil {
		return "", a.damaged("%s", f.key).Because(err)
	}
	return string(b), nil
}

// statements cuts a file's text where its lines end in semicolons: no statement within has such a line, but one may have it with
// a carriage return, unless all of the file's lines have.
func statements(text string) []string {
	if first, _, _ := strings.Cut(text, "\n"); strings.HasSuffix(first, "\r") {
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	var out []string
	for _, s := range strings.Split(text+"\n", ";\n") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}
