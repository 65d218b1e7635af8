package mysource

import (
	"context"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
)

// allLogged returns errUnfit where a MariaDB server's binary log doesn't have all that is committed: it then shows no moment. What
// filters there are is known only to accounts that may see the log's status, or from the server's variables where it has them.
func (s *Source) allLogged(ctx context.Context) error {
	rows, err := s.control.Rows(ctx, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_slave_updates', 'wsrep_on', 'binlog_do_db', 'binlog_ignore_db')")
	if err != nil {
		return err
	}
	status, err := s.control.Rows(ctx, "SHOW GLOBAL STATUS WHERE Variable_name = 'Slaves_running'")
	if err != nil {
		return err
	}
	is := map[string]string{}
	for _, r := range append(rows, status...) {
		is[strings.ToLower(r[0])] = r[1]
	}
	if !logged(is) {
		return errUnfit
	}
	rows, err = s.control.Rows(ctx, "SHOW MASTER STATUS")
	if mysession.Denied(err) {
		return nil
	}
	for _, r := range rows {
		if len(r) > 3 && r[2]+r[3] != "" {
			return errUnfit
		}
	}
	return err
}

// logged reports whether a server of such variables and status writes all that it commits to its binary log.
func logged(is map[string]string) bool {
	applies := is["wsrep_on"] == "ON" || is["slaves_running"] != "" && is["slaves_running"] != "0"
	return is["binlog_do_db"] == "" && is["binlog_ignore_db"] == "" && (is["log_slave_updates"] == "ON" || !applies)
}
