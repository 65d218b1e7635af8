package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/dump"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/myarchive"
	"github.com/pgmove/pgmove/stream/pgarchive"
)

func newDumpCommand() *cli.Command {
	return &cli.Command{
		Name:  "dump",
		Usage: "write a database's archive, which stock pg_restore reads too",
		Flags: join([]cli.Flag{sourceFlag(), &cli.StringFlag{Name: "to", Usage: "`LOCATION` of the archive: file:///folder or s3://bucket/prefix"},
			resumeFlag(), rolesFlag(), snapshotFlag(), rateFlag(),
			jobsFlag(), reportFlag(), compressFlag(), formatFlag(), toolFlag()}, ownerFlags(), dumpFlags(), sectionFlags(), dryFlags(), locationFlags(), sealFlags()),
		Action: func(c *cli.Context) error { return session(c, runDump) },
	}
}

func runDump(ctx context.Context, c *cli.Context, rep *Report) error {
	from, err := rep.conn(c, "source")
	if err != nil {
		return err
	}
	z, err := compression(c)
	if err != nil {
		return err
	}
	mac, err := macKey(c)
	if err != nil {
		return err
	}
	loc, err := parseLocation("to", c.String("to"))
	if err != nil {
		return err
	}
	if c.Bool("dry-run") {
		return planDump(ctx, c, from, loc, rep)
	}
	store, was, err := loc.openToWrite(ctx, c, false, mac, rep.observe)
	if err != nil {
		return err
	}
	defer was.release()
	src, err := openSource(ctx, c, from, true, was.prior, rep.observe)
	if err != nil {
		return err
	}
	defer src.Close()
	rep.connected()
	rep.reads("source", src)
	if was.sealed != nil {
		contents := &was.sealed.Manifest().Contents
		facts := src.Facts()
		if err := facts.SameOrigin(&contents.Header.Source); err != nil {
			return err
		}
		rep.Run = contents.Header.Run
		stream.Observer(rep.observe).Warn("dump", "the archive was complete: nothing was dumped")
		rep.setContents(contents)
		return nil
	}
	rep.Run = newRunID()
	w := stream.NewWriter(store, false, z)
	w.Authenticate(mac)
	contents, err := dump.Run(ctx, src, w, dump.Options{Jobs: c.Int("jobs"), Run: rep.Run, Tool: version, Prior: was.prior, Retry: retry, Observe: rep.observe})
	if err != nil {
		return err
	}
	rep.Run = contents.Header.Run
	rep.setContents(contents)
	return nil
}

// archive is an archive opened for reading.
type archive struct {
	*stream.Reader
	// contents are those of the manifest; of an archive that another tool wrote, without digests.
	contents *stream.Contents
	foreign  string // the tool that wrote it; "" for pgmove
}

// openArchive opens an archive that is complete: pgmove's own, or one of stock pg_dump or mydumper.
func openArchive(ctx context.Context, c *cli.Context, flag, text string, o stream.Observer) (*archive, error) {
	loc, err := parseLocation(flag, text)
	if err != nil {
		return nil, err
	}
	mac, err := macKey(c)
	if err != nil {
		return nil, err
	}
	store, err := loc.openArchived(ctx, c, false, o)
	if err != nil {
		return nil, err
	}
	for _, f := range foreigners {
		foreign, err := stream.IsForeign(ctx, store, f.index)
		if err != nil {
			return nil, err
		}
		if !foreign {
			continue
		}
		if mac != nil {
			return nil, (&stream.Failure{Kind: stream.Integrity, Object: loc.text, Msg: "an archive of " + f.tool + " bears no authentication code, and --mac-key asks for one"})
		}
		r, contents, warnings, err := f.open(ctx, store, loc.text)
		if err != nil {
			return nil, err
		}
		for _, w := range warnings {
			o.Warn("restore", w)
		}
		return &archive{Reader: r, contents: contents, foreign: f.tool}, nil
	}
	r, err := stream.OpenSealed(ctx, store, loc.text, mac)
	if err != nil {
		return nil, err
	}
	return &archive{Reader: r, contents: &r.Manifest().Contents}, nil
}

// foreigners are other tools whose archives are taken, each known by a file that is always there.
var foreigners = []struct {
	tool, index string
	open        func(context.Context, stream.Store, string) (*stream.Reader, *stream.Contents, []string, error)
}{{"pg_dump", "toc.dat", pgarchive.Open}, {"mydumper", myarchive.Index, myarchive.Open}}

func newInspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "tell what an archive holds",
		ArgsUsage: "LOCATION",
		Flags:     locationFlags(),
		Action:    runInspect,
	}
}

func runInspect(c *cli.Context) error {
	if c.NArg() != 1 {
		return stream.Fail(stream.Usage, "inspect takes one location").WithHint("flags come before it")
	}
	a, err := openArchive(c.Context, c, "location", c.Args().First(), nil)
	if err != nil {
		return err
	}
	h, err := a.Header(c.Context)
	if err != nil {
		return err
	}
	entries, err := a.Entries(c.Context)
	if err != nil {
		return err
	}
	plan, err := a.Plan(c.Context)
	if err != nil {
		return err
	}
	facts := [][2]string{{"source", fmt.Sprintf("%s, %s, %s", h.Source.Database.Display(), serverName(h), h.Source.Encoding)}}
	if a.foreign != "" {
		facts = append(facts, [2]string{"written by", strings.TrimSpace(a.foreign+" "+h.Source.DumpTool) + ", without digests"})
	} else {
		facts = append(facts, manifestFacts(h, a.Manifest())...)
	}
	if sel := h.Source.Selection.Text(); sel != "" {
		facts = append(facts, [2]string{"selection", sel})
	}
	wanted := 0
	for i := range entries {
		if h.Source.Selection.Wants(&entries[i]) {
			wanted++
		}
	}
	facts = append(facts, [2]string{"entries", fmt.Sprint(wanted)}, [2]string{"chunks", fmt.Sprint(len(plan))},
		[2]string{"sequences", fmt.Sprint(len(a.contents.Sequences))})
	out := c.App.Writer
	for _, l := range facts {
		fmt.Fprintf(out, "%-12s %s\n", l[0], l[1])
	}
	fmt.Fprintln(out)
	var rows [][]string
	for _, t := range a.contents.Tables {
		name := t.Table.Name.Display()
		if t.Table.Namespace != "" {
			name = t.Table.Namespace.Display() + "." + name
		}
		if a.foreign != "" {
			rows = append(rows, []string{name, sizeText(t.Table.Bytes)})
			continue
		}
		rows = append(rows, []string{name, fmt.Sprint(t.Digest.Rows), sizeText(t.RawBytes), t.Format, t.Digest.String()})
	}
	head := []string{"table", "rows", "bytes", "format", "digest"}
	if a.foreign != "" {
		head = []string{"table", "bytes"}
	}
	printTable(out, head, rows)
	return nil
}

func manifestFacts(h *stream.Header, m *stream.Manifest) [][2]string {
	var stored, raw int64
	for _, ch := range m.Chunks {
		raw += ch.RawBytes
		for _, o := range ch.Objects {
			stored += o.Size
		}
	}
	return [][2]string{
		{"run", h.Run}, {"sealed", m.Sealed.Format(time.RFC3339)}, {"written by", "pgmove " + h.Tool + ", " + dumpTool(h)},
		{"snapshot", h.Source.Snapshot}, {"compression", string(h.Compression)},
		{"size", fmt.Sprintf("%s stored, %s of rows", sizeText(stored), sizeText(raw))},
	}
}

// dumpTool is what told the schema.
func dumpTool(h *stream.Header) string {
	if h.Engine == "postgresql" {
		return "pg_dump " + h.Source.DumpTool
	}
	return h.Source.DumpTool
}

func newVerifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "read a whole archive, and say what is wrong with which object",
		ArgsUsage: "LOCATION",
		Flags:     join([]cli.Flag{jobsFlag()}, locationFlags()),
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return stream.Fail(stream.Usage, "verify takes one location").WithHint("flags come before it")
			}
			return watched(c, runVerify)
		},
	}
}

func runVerify(ctx context.Context, c *cli.Context, rep *Report) error {
	a, err := openArchive(ctx, c, "location", c.Args().First(), rep.observe)
	if err != nil {
		return err
	}
	v, err := stream.Verify(ctx, a.Reader, stream.VerifyOptions{Jobs: c.Int("jobs"), Observe: rep.observe})
	if err != nil {
		return err
	}
	if err := v.Err(); err != nil {
		return err
	}
	what := "every one as it was written"
	if a.foreign != "" {
		what = "all can be read; an archive of " + a.foreign + " has no digests to compare with"
	}
	fmt.Fprintf(c.App.Writer, "%d objects, %d rows, %s of rows: %s\n", v.Objects, v.Rows, sizeText(v.Bytes), what)
	return nil
}

// warnCounts tells of tables of which another number of rows was restored than the tool that dumped says it wrote.
func warnCounts(c *stream.Contents, rep *Report) {
	for i := range c.Tables {
		t := &c.Tables[i]
		if said, took := t.Table.Rows, t.Digest.Rows; said >= 0 && said != took {
			stream.Observer(rep.observe).Warn("restore", fmt.Sprintf("table %s: %d rows were restored, and the dump says that it has %d: see whether files of it are missing", t.Table.Name.Display(), took, said))
		}
	}
}
