package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/dump"
	"github.com/pgmove/pgmove/dump/pgsource"
	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/validate"
)

// drillFlags say how rows that differ are told.
func drillFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "max-differences", Value: 100, Usage: "list at most `N` rows of each table that differ, with --validate rows; their number is exact in any case"},
		&cli.BoolFlag{Name: "show-values", Usage: "show the values that differ, and not only the keys of their rows and the columns"},
	}
}

// livingFlags are validate's alone.
func livingFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "recheck", Value: 3, Usage: "with --source and --validate rows, look `N` times again at rows that differ: those that are equal by then were in motion"},
		&cli.DurationFlag{Name: "recheck-pause", Value: 2 * time.Second, Usage: "how long to wait before each time"},
		&cli.StringFlag{Name: "state", Usage: "keep the verdicts of finished tables in `FILE`"},
		&cli.BoolFlag{Name: "resume", Usage: "go on from --state: tables that were equal are not read again"},
	}
}

func rateFlag() cli.Flag {
	return &cli.StringFlag{Name: "max-rate", Usage: "read at most `BYTES` of rows a second from each database: 50MB/s"}
}

// perSecond ends a rate.
var perSecond = regexp.MustCompile(`(?i)/s(ec)?$|ps$`)

// maxRate reads --max-rate.
func maxRate(c *cli.Context) (*stream.Throttle, error) {
	s := c.String("max-rate")
	if s == "" {
		return nil, nil
	}
	n, err := byteSize("max-rate", perSecond.ReplaceAllString(s, ""))
	if err != nil {
		return nil, stream.Fail(stream.Usage, "--max-rate %q is not a rate", s).WithHint("write 50MB/s or 52428800")
	}
	return stream.NewThrottle(n), nil
}

// drilling is how rows that differ are looked for.
type drilling struct {
	max    int
	values bool
	looks  int
	pause  time.Duration
	again  func(context.Context) (validate.Again, error)
	memo   validate.Memo
	opened validate.Again
	// unverified is what the flags left out.
	unverified []string
}

// open opens what has the expected rows.
func (d *drilling) open(ctx context.Context) (a validate.Again, err error) {
	if d.again == nil {
		return nil, errors.New("digests alone don't tell; compare with the source (--source) or with the archive (--archive)")
	}
	d.opened, err = d.again(ctx)
	return d.opened, err
}

// close ends what open opened.
func (d *drilling) close() {
	if c, ok := d.opened.(io.Closer); ok {
		_ = c.Close()
	}
	d.opened = nil
}

func newDrilling(c *cli.Context) drilling {
	return drilling{max: c.Int("max-differences"), values: c.Bool("show-values"), looks: c.Int("recheck"), pause: c.Duration("recheck-pause")}
}

// checkDrilling refuses flags that mean nothing.
func checkDrilling(c *cli.Context) error {
	for _, f := range []string{"max-differences", "recheck"} {
		if n := c.Int(f); n < 0 || n > 100000 {
			return stream.Fail(stream.Usage, "--%s %d: a number from 0 to 100000 is needed", f, n)
		}
	}
	if c.Duration("recheck-pause") < 0 {
		return stream.Fail(stream.Usage, "--recheck-pause is negative")
	}
	for _, f := range []string{"max-differences", "show-values", "recheck", "recheck-pause"} {
		if c.IsSet(f) && c.String("validate") != string(validate.Rows) {
			return stream.Fail(stream.Usage, "--%s goes with --validate rows", f)
		}
	}
	return nil
}

// archivedRows are the rows of an archive.
type archivedRows struct {
	r      *stream.Reader
	chunks map[stream.DumpID][]stream.Chunk
}

// inArchive gives the rows of a sealed archive.
func inArchive(ctx context.Context, r *stream.Reader) (validate.Again, error) {
	if r.Manifest() == nil {
		return nil, errors.New("the archive has no digests")
	}
	if _, err := r.Header(ctx); err != nil {
		return nil, err
	}
	a := &archivedRows{r: r, chunks: map[stream.DumpID][]stream.Chunk{}}
	for _, rec := range r.Manifest().Chunks {
		a.chunks[rec.Table] = append(a.chunks[rec.Table], rec.Chunk)
	}
	return a, nil
}

// Pieces are the chunks.
func (a *archivedRows) Pieces(_ context.Context, tables []stream.TableContents) ([]validate.Piece, error) {
	var out []validate.Piece
	for _, t := range tables {
		for _, c := range a.chunks[t.ID] {
			out = append(out, validate.Piece{Chunk: c.Key, Read: func(ctx context.Context, w io.Writer) error { return a.read(ctx, c, w) }})
		}
	}
	return out, nil
}

func (a *archivedRows) read(ctx context.Context, c stream.Chunk, w io.Writer) error {
	cr, err := a.r.OpenChunk(ctx, c)
	if err != nil {
		return err
	}
	defer cr.GiveBack(nil, false)
	if _, err := io.Copy(w, cr); err != nil {
		return err
	}
	_, err = cr.Verify(-1)
	return err
}

// findable is a source whose tables can be found by name, once its entries were read.
type findable interface {
	dump.Snapshot
	Find(t *stream.Table) *stream.Entry
	Close()
}

// livingRows are the rows of a source.
type livingRows struct {
	src   findable
	exact bool
	own   bool // opened for this alone
}

// Side is the source.
func (l *livingRows) Side() validate.Narrower {
	n, _ := l.src.(validate.Narrower)
	return n
}

// Find finds a table.
func (l *livingRows) Find(t *stream.Table) *stream.Entry { return l.src.Find(t) }

// Exact reports whether the snapshot is that of the digests.
func (l *livingRows) Exact() bool { return l.exact }

// Pieces are the ranges of the tables.
func (l *livingRows) Pieces(ctx context.Context, tables []stream.TableContents) ([]validate.Piece, error) {
	var out []validate.Piece
	for i := range tables {
		e := l.src.Find(&tables[i].Table)
		if e == nil {
			return nil, fmt.Errorf("table %s is no longer on the source", tables[i].Table.Name.Display())
		}
		chunks, err := l.src.Split(ctx, e)
		if err != nil {
			return nil, err
		}
		for _, c := range chunks {
			c.Format = tables[i].Format
			out = append(out, validate.Piece{Read: func(ctx context.Context, w io.Writer) error { return l.src.CopyTo(ctx, e, c, w) }})
		}
	}
	return out, nil
}

// Close ends what the source was opened anew for.
func (l *livingRows) Close() error {
	if l.own {
		l.src.Close()
	}
	return nil
}

// heldSnapshot is a source whose snapshot outlasts its measuring: rows are looked at again under it.
type heldSnapshot struct{ dump.Snapshot }

// Release leaves the snapshot to who opened the source.
func (heldSnapshot) Release(context.Context) error { return nil }

// sourceAgain opens a source whose snapshot is gone: its rows may have changed since.
func sourceAgain(c *cli.Context, from conn, contents *stream.Contents, o stream.Observer) func(context.Context) (validate.Again, error) {
	return func(ctx context.Context) (validate.Again, error) {
		co, ok := from.(*pgsession.Conn)
		if !ok {
			return nil, errors.New("the source's snapshot has ended; compare with --source, or with the archive of a run --via")
		}
		p, err := maxRate(c)
		if err != nil {
			return nil, err
		}
		was := &contents.Header.Source
		src, err := pgsource.Open(ctx, co, pgsource.Options{Jobs: c.Int("jobs"), Encoding: was.Encoding, NoSchema: true, NoIndex: true,
			Selection: was.Selection, Snapshot: c.String("snapshot"), OrNew: true, Throttle: p, Patience: patience, Observe: o, Side: "validate"})
		if err != nil {
			return nil, err
		}
		h, _, err := src.Entries(ctx)
		if err != nil {
			src.Close()
			return nil, err
		}
		return &livingRows{src: src, exact: h.Source.SameSnapshot(was), own: true}, nil
	}
}

// underSnapshot gives the rows of a source that still holds its snapshot.
func underSnapshot(src dump.Snapshot) func(context.Context) (validate.Again, error) {
	return func(context.Context) (validate.Again, error) {
		f, ok := src.(findable)
		if !ok {
			return nil, errors.New("this engine's rows can't be told apart")
		}
		return &livingRows{src: f, exact: true}, nil
	}
}

// ofRun gives the rows of a run once more: those of its archive where there is one, else the source's.
func ofRun(c *cli.Context, from conn, via *way, contents *stream.Contents, o stream.Observer) func(context.Context) (validate.Again, error) {
	if via.live {
		return sourceAgain(c, from, contents, o)
	}
	return func(ctx context.Context) (validate.Again, error) {
		r, err := stream.OpenSealed(ctx, via.following, via.loc.text, via.mac)
		if err != nil {
			return nil, err
		}
		return inArchive(ctx, r)
	}
}

// printDifferences prints the rows that differ, table by table.
func (r *Report) printDifferences(w io.Writer) {
	for _, t := range r.Result.Tables {
		d := t.Differences
		if d == nil {
			continue
		}
		fmt.Fprintf(w, "\n%s: ", t.Name)
		if s := d.Summary(); s != "" {
			fmt.Fprint(w, s)
		} else {
			fmt.Fprint(w, "differs")
		}
		if d.Note != "" {
			fmt.Fprintf(w, " (%s)", d.Note)
		}
		fmt.Fprintln(w)
		var rows [][]string
		for i := range d.Rows {
			row := []string{"  " + d.Rows[i].Kind, d.Rows[i].Name(), d.Rows[i].What()}
			if d.Rows[i].Chunk != "" {
				row[2] += "  [chunk " + d.Rows[i].Chunk + "]"
			}
			rows = append(rows, row)
		}
		if len(rows) > 0 {
			printTable(w, []string{"  row", "key", "columns"}, rows)
		}
		var listed int64
		for i := range d.Rows {
			listed += max(d.Rows[i].Copies, 1)
		}
		if more := d.Total() - listed; more > 0 {
			fmt.Fprintf(w, "  … and %d more\n", more)
		}
	}
}
