// Package sqltest holds the tests of sqltx on real databases: SQLite,
// PostgreSQL and MariaDB. It is a module of its own, so that a user of the
// library does not come to depend on their drivers.
//
// The tests start PostgreSQL and MariaDB themselves, on 127.0.0.1, with free
// ports and data of their own, and stop them; on Debian
//
//	apt-get install postgresql mariadb-server
//
// provides both. A server of the system is neither used nor touched.
package sqltest
