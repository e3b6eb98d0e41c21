package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// logLine is a line of the log that asks for a page at some seconds after noon.
func logLine(visitor string, second int, page string, status int) string {
	at := noon.Add(durationOf(second)).Format("02/Jan/2006:15:04:05 -0700")
	return fmt.Sprintf("%s - - [%s] \"GET %s HTTP/1.1\" %d 10 \"-\" \"agent\"\n", visitor, at, page, status)
}

func gzipped(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	_, err := io.WriteString(gz, s)
	require.NoError(t, err)
	require.NoError(t, gz.Close())
	return b.Bytes()
}

// readAll reads a log and returns the numbers of the lines that were reported.
func readAll(src io.Reader) (log accessLog, reported []int, err error) {
	log, err = readLog(src, func(line int, _ error) { reported = append(reported, line) })
	return log, reported, err
}

func TestBrokenLinesAreReportedByNumberSkippedAndCounted(t *testing.T) {
	text := logLine("a", 0, "/1", 200) + "\n" + logLine("b", 1, "/2", 200) + "rubbish\n" +
		strings.Repeat("x", 3*maxLine) + "\n" + strings.TrimSuffix(logLine("c", 2, "/3", 200), "\n") + "\r\n"
	for name, src := range map[string]io.Reader{
		"plain":             strings.NewReader(text),
		"gzipped":           bytes.NewReader(gzipped(t, text)),
		"no newline at end": strings.NewReader(strings.TrimRight(text, "\r\n")),
	} {
		t.Run(name, func(t *testing.T) {
			log, reported, err := readAll(src)
			require.NoError(t, err)
			require.Equal(t, []int{2, 4, 5}, reported)
			require.Equal(t, 6, log.Lines)
			require.Equal(t, 3, log.Skipped)
			var got []string
			for _, r := range log.Requests {
				got = append(got, fmt.Sprintf("%d %s %s", r.Line, r.Visitor, r.Page))
			}
			require.Empty(t, cmp.Diff([]string{"1 a /1", "3 b /2", "6 c /3"}, got))
		})
	}
}

func TestLinesAreReadUpToTheirBoundAndNoFurther(t *testing.T) {
	line := strings.TrimSuffix(logLine("a", 0, "/", 200), "\n")
	fits := line + strings.Repeat("x", maxLine-len(line)-1)
	for _, end := range []string{"\n", ""} {
		log, _, err := readAll(strings.NewReader(fits + end))
		require.NoError(t, err)
		require.Len(t, log.Requests, 1)
		log, reported, err := readAll(strings.NewReader(fits + "x" + end))
		require.NoError(t, err)
		require.Equal(t, []int{1}, reported)
		require.Equal(t, 1, log.Lines)
		require.Empty(t, log.Requests)
	}
}

func TestALogThatEndsEarlyIsAnError(t *testing.T) {
	whole := gzipped(t, strings.Repeat(logLine("a", 0, "/", 200), 1000))
	_, _, err := readAll(bytes.NewReader(whole[:len(whole)-8]))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, _, err = readAll(bytes.NewReader(whole[:5]))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	log, reported, err := readAll(strings.NewReader(""))
	require.NoError(t, err)
	require.Empty(t, reported)
	require.Zero(t, log.Lines)
}
