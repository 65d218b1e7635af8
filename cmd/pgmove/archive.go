package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/dump"
	"github.com/pgmove/pgmove/restore"
	"github.com/pgmove/pgmove/stream"
)

func newDumpCommand() *cli.Command {
	return &cli.Command{
		Name:  "dump",
		Usage: "write a database's archive, which stock pg_restore reads too",
		Flags: join([]cli.Flag{sourceFlag(), &cli.StringFlag{Name: "to", Usage: "`LOCATION` of the archive: file:///folder or s3://bucket/prefix"},
			jobsFlag(), reportFlag(), compressFlag(), toolFlag()}, ownerFlags(), dumpFlags(), s3Flags()),
		Action: func(c *cli.Context) error { return session(c, runDump) },
	}
}

func runDump(ctx context.Context, c *cli.Context, rep *Report) error {
	from, err := connFlag(c, "source")
	if err != nil {
		return err
	}
	z, err := compression(c)
	if err != nil {
		return err
	}
	loc, err := parseLocation("to", c.String("to"))
	if err != nil {
		return err
	}
	src, err := openSource(ctx, c, from, rep.observe)
	if err != nil {
		return err
	}
	defer src.Close()
	store, err := loc.open(ctx, c, true)
	if err != nil {
		return err
	}
	if err := stream.Empty(ctx, store, loc.text); err != nil {
		return err
	}
	rep.Run = newRunID()
	contents, err := dump.Run(ctx, src, stream.NewWriter(store, false, z),
		dump.Options{Jobs: c.Int("jobs"), Run: rep.Run, Tool: version, Observe: rep.observe})
	if err != nil {
		return err
	}
	rep.setContents(contents)
	return nil
}

func newRestoreCommand() *cli.Command {
	return &cli.Command{
		Name:  "restore",
		Usage: "restore an archive to an empty database, and validate it",
		Flags: join([]cli.Flag{&cli.StringFlag{Name: "from", Usage: "`LOCATION` of the archive"}, targetFlag(),
			jobsFlag(), reportFlag(), toolFlag()}, validateFlags(), ownerFlags(), restoreFlags(), s3Flags()),
		Action: func(c *cli.Context) error { return session(c, runRestore) },
	}
}

func runRestore(ctx context.Context, c *cli.Context, rep *Report) error {
	to, err := newDestination(c)
	if err != nil {
		return err
	}
	r, err := openArchive(ctx, c, "from", c.String("from"))
	if err != nil {
		return err
	}
	contents := &r.Manifest().Contents
	rep.Run = contents.Header.Run
	defer to.close()
	if err := to.open(ctx, c, contents.Header.Source, rep.observe); err != nil {
		return err
	}
	if err := restore.Run(ctx, r, to.target, restore.Options{Jobs: c.Int("jobs"), Continue: to.goOn, Observe: rep.observe}); err != nil {
		return err
	}
	return to.finish(ctx, contents, rep)
}

func openArchive(ctx context.Context, c *cli.Context, flag, text string) (*stream.Reader, error) {
	loc, err := parseLocation(flag, text)
	if err != nil {
		return nil, err
	}
	store, err := loc.open(ctx, c, false)
	if err != nil {
		return nil, err
	}
	return stream.OpenSealed(ctx, store, loc.text)
}

func newInspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "tell what an archive holds",
		ArgsUsage: "LOCATION",
		Flags:     s3Flags(),
		Action:    runInspect,
	}
}

func runInspect(c *cli.Context) error {
	if c.NArg() != 1 {
		return stream.Fail(stream.Usage, "inspect takes one location").WithHint("flags come before it")
	}
	r, err := openArchive(c.Context, c, "location", c.Args().First())
	if err != nil {
		return err
	}
	h, err := r.Header(c.Context)
	if err != nil {
		return err
	}
	entries, err := r.Entries(c.Context)
	if err != nil {
		return err
	}
	m := r.Manifest()
	var stored, raw int64
	for _, ch := range m.Chunks {
		raw += ch.RawBytes
		for _, o := range ch.Objects {
			stored += o.Size
		}
	}
	out := c.App.Writer
	for _, l := range [][2]string{
		{"run", h.Run}, {"sealed", m.Sealed.Format(time.RFC3339)}, {"written by", "pgmove " + h.Tool + ", pg_dump " + h.Source.DumpTool},
		{"source", fmt.Sprintf("%s, PostgreSQL %s, %s", h.Source.Database.Display(), h.Source.Version, h.Source.Encoding)},
		{"snapshot", h.Source.Snapshot}, {"compression", string(h.Compression)},
		{"entries", fmt.Sprint(len(entries))}, {"chunks", fmt.Sprint(len(m.Chunks))}, {"sequences", fmt.Sprint(len(m.Contents.Sequences))},
		{"size", fmt.Sprintf("%s stored, %s of rows", sizeText(stored), sizeText(raw))},
	} {
		fmt.Fprintf(out, "%-12s %s\n", l[0], l[1])
	}
	var rows [][]string
	for _, t := range m.Contents.Tables {
		name := t.Table.Name.Display()
		if t.Table.Namespace != "" {
			name = t.Table.Namespace.Display() + "." + name
		}
		rows = append(rows, []string{name, fmt.Sprint(t.Digest.Rows), sizeText(t.RawBytes), t.Digest.String()})
	}
	fmt.Fprintln(out)
	printTable(out, []string{"table", "rows", "bytes", "digest"}, rows)
	return nil
}
