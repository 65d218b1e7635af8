package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/stream"
)

// patternFlags say what of a database is moved; pg_dump gets them as they are; of MySQL and MariaDB they are matched here.
func patternFlags() []cli.Flag {
	list := func(name, short, usage string) cli.Flag {
		f := &cli.StringSliceFlag{Name: name, Usage: usage}
		if short != "" {
			f.Aliases = []string{short}
		}
		return f
	}
	return []cli.Flag{
		list("schema", "n", "PostgreSQL: only schemas that match `PATTERN`, as pg_dump --schema"),
		list("table", "t", "only tables, views and sequences that match `PATTERN`, as pg_dump --table"),
		list("table-and-children", "", "PostgreSQL: as --table, with partitions and heirs; needs a pg_dump of version 16 or newer"),
		list("exclude-schema", "N", "PostgreSQL: no schemas that match `PATTERN`"),
		list("exclude-table", "T", "no tables, views or sequences that match `PATTERN`"),
		list("exclude-table-and-children", "", "PostgreSQL: as --exclude-table, with partitions and heirs; pg_dump 16"),
		list("exclude-table-data", "", "no rows of tables that match `PATTERN`, but their definitions"),
		list("exclude-table-data-and-children", "", "PostgreSQL: as --exclude-table-data, with partitions and heirs; pg_dump 16"),
	}
}

// sectionFlags say which sections are moved.
func sectionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "section", Usage: "only `SECTION` pre-data, data or post-data; may be given again"},
		&cli.BoolFlag{Name: "schema-only", Aliases: []string{"s"}, Usage: "no rows, no positions of sequences, no large objects; materialized views stay unfilled"},
		&cli.BoolFlag{Name: "data-only", Aliases: []string{"a"}, Usage: "only rows, positions of sequences and large objects, into tables that are there and empty"},
	}
}

// intoFlags say how a target is treated that isn't empty.
func intoFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "clean", Aliases: []string{"c"}, Usage: "drop on the target, before anything is loaded, what is about to be created; refused where anything else would go with it"},
		&cli.BoolFlag{Name: "disable-triggers", Usage: "PostgreSQL: with --data-only or --section data: load with triggers and foreign keys switched off, which takes a superuser"},
	}
}

// selectable refuses flags of what is moved, and of how a target is treated, that mean nothing to MySQL and MariaDB.
func selectable(c *cli.Context) error {
	for _, f := range []struct{ names, hint string }{
		{"schema exclude-schema", "in MySQL and MariaDB a schema is the database that the URL names: --table and --exclude-table choose what of it is moved"},
		{"table-and-children exclude-table-and-children exclude-table-data-and-children", "in MySQL and MariaDB partitions come with their table: leave -and-children out"},
		{"disable-triggers", "MySQL and MariaDB cannot switch triggers off for a session: load the rows before --section post-data, or drop the triggers meanwhile; foreign keys refuse no rows there"},
	} {
		for _, n := range strings.Fields(f.names) {
			if c.IsSet(n) {
				return stream.Fail(stream.Usage, "--%s is for PostgreSQL", n).WithHint("%s", f.hint)
			}
		}
	}
	return nil
}

// checker is a target that can say what it would refuse; other is one that can tell whether it is the source.
type (
	checker interface {
		Check(ctx context.Context, h *stream.Header, entries []stream.Entry, plan []stream.Chunk) error
	}
	other interface {
		CheckOther(ctx context.Context, src *stream.Source) error
	}
	// stepper is a target that need not be empty.
	stepper interface {
		Hold(ctx context.Context) error
		CheckFree(ctx context.Context) error
	}
)

// isSource refuses a target that is the source itself.
func (d *destination) isSource(ctx context.Context, src *stream.Source) error {
	if t, ok := d.target.(other); ok && d.moves {
		return t.CheckOther(ctx, src)
	}
	return nil
}

// checkOccupied is CheckEmpty for a target that need not be empty; false where it must.
func (d *destination) checkOccupied(ctx context.Context) (bool, error) {
	t, ok := d.target.(stepper)
	switch {
	case ok && d.clean:
		return true, t.Hold(ctx)
	case ok && !d.selection.Has(stream.PreData):
		return true, t.CheckFree(ctx)
	}
	return false, nil
}

// sections reads the flags that name sections.
func sections(c *cli.Context) (list []stream.Section, schemaOnly bool, err error) {
	given := 0
	for _, f := range []string{"section", "schema-only", "data-only"} {
		if c.IsSet(f) {
			given++
		}
	}
	if given > 1 {
		return nil, false, stream.Fail(stream.Usage, "give one of --section, --schema-only and --data-only")
	}
	want := map[stream.Section]bool{}
	for _, name := range c.StringSlice("section") {
		var s stream.Section
		if err := s.UnmarshalText([]byte(name)); err != nil || s == stream.Sequences {
			f := stream.Fail(stream.Usage, "--section %s: pre-data, data or post-data is needed", stream.Text(name).Display())
			if s == stream.Sequences {
				f.Hint = "the positions of sequences are of section data"
			}
			return nil, false, f
		}
		want[s] = true
	}
	switch {
	case c.Bool("schema-only"):
		want[stream.PreData], want[stream.PostData], schemaOnly = true, true, true
	case c.Bool("data-only"):
		want[stream.Data] = true
	}
	for _, s := range []stream.Section{stream.PreData, stream.Data, stream.PostData} {
		if want[s] {
			list = append(list, s)
		}
	}
	if len(list) == 3 {
		list = nil // all there is
	}
	return list, schemaOnly, nil
}

// selection reads the flags that say what is moved.
func selection(c *cli.Context) (sel stream.Selection, err error) {
	sel = stream.Selection{Schemas: c.StringSlice("schema"), Tables: c.StringSlice("table"), TablesAndChildren: c.StringSlice("table-and-children"),
		ExcludeSchemas: c.StringSlice("exclude-schema"), ExcludeTables: c.StringSlice("exclude-table"),
		ExcludeTablesAndChildren: c.StringSlice("exclude-table-and-children"), ExcludeTableData: c.StringSlice("exclude-table-data"),
		ExcludeTableDataAndChildren: c.StringSlice("exclude-table-data-and-children")}
	sel.Sections, sel.SchemaOnly, err = sections(c)
	return sel, err
}

// into checks the flags of how the target is treated against the sections that are moved.
func (d *destination) into(c *cli.Context) error {
	sel := &d.selection
	if c.Bool("clean") && !sel.Has(stream.PreData) {
		return stream.Fail(stream.Usage, "--clean drops what section pre-data creates, and that is not moved").
			WithHint("leave --clean out, and empty the tables yourself")
	}
	if c.Bool("disable-triggers") && (sel.Has(stream.PreData) || !sel.Has(stream.Data)) {
		return stream.Fail(stream.Usage, "--disable-triggers goes with --data-only or --section data: elsewhere triggers come after the rows")
	}
	return nil
}

// narrow has a restore take no more than an archive holds, and what was asked for of it.
func (d *destination) narrow(c *cli.Context, h *stream.Header) (err error) {
	if d.selection, err = h.Source.Selection.Only(d.selection.Sections, d.selection.SchemaOnly); err != nil {
		return err
	}
	return d.into(c)
}

// holds refuses an archive of pg_dump without entries of a section that is asked for.
func (d *destination) holds(ctx context.Context, a *archive) error {
	if a.foreign == "" || len(d.selection.Sections) == 0 {
		return nil
	}
	entries, err := a.Entries(ctx)
	if err != nil {
		return err
	}
	has := map[stream.Section]bool{}
	for i := range entries {
		has[entries[i].Section] = true
	}
	for _, s := range d.selection.Sections {
		if !has[s] {
			return stream.Fail(stream.Preflight, "the archive holds nothing of section %s", s).WithHint("dump again with that section, or ask for what the archive holds")
		}
	}
	return nil
}
