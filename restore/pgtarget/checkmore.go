package pgtarget

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgmove/pgmove/stream"
)

// settings notes those that make a restore slow, or its result unsafe.
func (c *checking) settings(ctx context.Context) error {
	rows, err := c.q.Rows(ctx, `SELECT name, CASE unit WHEN 'MB' THEN setting::bigint * 1024 WHEN '8kB' THEN setting::bigint * 8 WHEN 'kB' THEN setting::bigint END, setting, pg_catalog.current_setting(name)
		FROM pg_catalog.pg_settings WHERE name IN ('max_wal_size', 'wal_level', 'maintenance_work_mem', 'shared_buffers', 'fsync', 'full_page_writes', 'autovacuum')`)
	if err != nil {
		return err
	}
	kb, is, shown := map[string]int64{}, map[string]string{}, map[string]string{}
	for _, r := range rows {
		kb[r[0]], _ = strconv.ParseInt(r[1], 10, 64)
		is[r[0]], shown[r[0]] = r[2], r[3]
	}
	if kb["max_wal_size"] < 4<<20 {
		c.found.Add("slow-max-wal-size", "max_wal_size is "+shown["max_wal_size"]+": a large load makes checkpoints all the time", "set it to 8GB or more while the restore goes on")
	}
	if is["wal_level"] != "minimal" {
		c.found.Add("slow-wal-level", "wal_level is "+is["wal_level"]+": all that is loaded goes through the WAL, and to its archive and its standbys", "nothing where that is needed; see that their disks have room")
	}
	if kb["maintenance_work_mem"] < 256<<10 && kb["shared_buffers"] < 1<<20 {
		c.found.Add("slow-maintenance-work", fmt.Sprintf("maintenance_work_mem is %s and shared_buffers %s: indexes are built with little memory", shown["maintenance_work_mem"], shown["shared_buffers"]),
			"set maintenance_work_mem to 1GB, if the machine has it for each of --jobs")
	}
	if is["fsync"] == "off" || is["full_page_writes"] == "off" {
		c.found.Add("durability-off", fmt.Sprintf("fsync is %s and full_page_writes %s: a crash may destroy all databases of the server", is["fsync"], is["full_page_writes"]), "switch them on after the move at the latest")
	}
	if is["autovacuum"] == "off" {
		c.found.Add("autovacuum-off", "autovacuum is off: what was moved is analyzed once, and not vacuumed", "switch it on after the move")
	}
	return nil
}

// differences notes where source and target are not alike.
func (c *checking) differences(ctx context.Context) error {
	if c.needs == nil {
		return nil
	}
	if from, to := c.source.VersionNum/10000, c.q.VersionNum/10000; from > to {
		c.found.Add("older-target", fmt.Sprintf("the source is of version %d, the target of %d: what is new in between the target refuses, and that ends the restore", from, to),
			fmt.Sprintf("move to version %d or newer", from))
	}
	if enc := c.q.Encoding; enc != c.source.Encoding && enc != "UTF8" && enc != "SQL_ASCII" {
		c.found.Add("encoding-narrower", fmt.Sprintf("the source's encoding is %s, the target's %s: a character that it lacks ends the restore", c.source.Encoding, enc),
			fmt.Sprintf("create the target database with TEMPLATE template0 ENCODING '%s'", c.source.Encoding))
	}
	if err := c.collation(ctx); err != nil {
		return err
	}
	return c.extensions(ctx)
}

func (c *checking) collation(ctx context.Context) error {
	here, err := c.q.Locale(ctx)
	if err != nil {
		return err
	}
	var differ []string
	for _, k := range []string{"provider", "collate", "ctype", "version"} {
		a, b := c.needs.Locale[k], here[k]
		if a != b && (k != "version" || a != "" && b != "") {
			differ = append(differ, fmt.Sprintf("%s %q and %q", k, stream.Text(a).Display(), stream.Text(b).Display()))
		}
	}
	if len(differ) > 0 {
		c.found.Add("collation-differs", "source and target sort text otherwise: "+strings.Join(differ, ", ")+"; ORDER BY, and ranges and partitions by text, may give other results",
			"create the target database with the source's locale provider and locale, if that matters; indexes are built anew and are right")
	}
	return nil
}

func (c *checking) extensions(ctx context.Context) error {
	rows, err := c.q.Rows(ctx, `SELECT a.name, coalesce(a.installed_version, a.default_version, ''), a.installed_version IS NOT NULL FROM pg_catalog.pg_available_extensions a`)
	if err != nil {
		return err
	}
	here, installed := map[string]string{}, map[string]bool{}
	for _, r := range rows {
		here[r[0]], installed[r[0]] = r[1], r[2] == "t"
	}
	trusted := map[string]bool{}
	if c.q.VersionNum >= 130000 {
		if rows, err = c.q.Rows(ctx, "SELECT DISTINCT name FROM pg_catalog.pg_available_extension_versions WHERE trusted OR NOT superuser"); err != nil {
			return err
		}
		for _, r := range rows {
			trusted[r[0]] = true
		}
	}
	privileged := slices.Clone(c.needs.Privileged)
	var older []string
	for name, version := range c.needs.Extensions {
		n := string(name)
		if v, ok := here[n]; ok && olderVersion(v, version) {
			older = append(older, fmt.Sprintf("%s %s (source: %s)", name.Display(), v, version))
		}
		if _, ok := here[n]; ok && !trusted[n] && !installed[n] {
			privileged = append(privileged, "extension "+name.Display())
		}
	}
	slices.Sort(older)
	slices.Sort(privileged)
	if len(older) > 0 {
		c.found.Add("extension-older", "extensions are older on the target: "+strings.Join(older, ", ")+"; what they lack ends the restore", "install newer packages on the target's server")
	}
	if len(privileged) > 0 && !c.super {
		c.found.Add("needs-superuser", fmt.Sprintf("role %s is no superuser, and these may need one: %s", c.conn.User(), stream.First(privileged)),
			"restore as a superuser (or rds_superuser), or drop them on the source; --on-error continue goes on without them and exits 1")
	}
	return nil
}

// olderVersion compares versions such as 1.10 by their numbers; where they have others parts, it is not known.
func olderVersion(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, err1 := strconv.Atoi(x[i])
		n, err2 := strconv.Atoi(y[i])
		if err1 != nil || err2 != nil || m != n {
			return err1 == nil && err2 == nil && m < n
		}
	}
	return len(x) < len(y)
}
