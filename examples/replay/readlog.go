package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxLine bounds what is kept of one line. Apache takes request lines and header
// fields of 8190 bytes; a combined line holds one and two of the others.
const maxLine = 64 << 10

// accessLog is what was read from a log.
type accessLog struct {
	Requests []request // in the order of the log
	Lines    int       // read, with those that were skipped
	Skipped  int
}

// readLog reads an access log, plain or gzipped. A line that cannot be parsed is
// given to report with its number, counted, and skipped. An error means that
// the log could not be read to its end.
func readLog(src io.Reader, report func(line int, err error)) (accessLog, error) {
	in := bufio.NewReaderSize(src, maxLine)
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		gz, err := gzip.NewReader(in)
		if err != nil {
			return accessLog{}, err
		}
		defer gz.Close()
		in = bufio.NewReaderSize(gz, maxLine)
	}
	var log accessLog
	for {
		line, length, whole, err := nextLine(in)
		if length == 0 && errors.Is(err, io.EOF) {
			return log, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return log, fmt.Errorf("after line %d: %w", log.Lines, err)
		}
		log.Lines++
		r, perr := request{}, error(nil)
		if whole {
			r, perr = parseLine(line)
		} else {
			perr = fmt.Errorf("%d bytes, at most %d are read", length, maxLine)
		}
		if perr != nil {
			log.Skipped++
			report(log.Lines, perr)
		} else {
			r.Line = log.Lines
			log.Requests = append(log.Requests, r)
		}
		if err != nil { // the last line, without its newline
			return log, nil
		}
	}
}

// nextLine returns the next line without its end, and how many bytes it takes in
// the log. The text of a line that is longer than maxLine is dropped while it is
// read, and whole is false.
func nextLine(in *bufio.Reader) (line string, length int, whole bool, err error) {
	chunk, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return strings.TrimRight(string(chunk), "\r\n"), len(chunk), true, err
	}
	for length = len(chunk); errors.Is(err, bufio.ErrBufferFull); length += len(chunk) {
		chunk, err = in.ReadSlice('\n')
	}
	return "", length, false, err
}
