// Package browsertest drives the shop in a real browser.
//
//	go test [-picture ../../../docs/shop.png] ./...
//
// It needs Debian's chromium (apt-get install -y chromium). Screenshots of tests
// that fail are kept in artefacts.
package browsertest

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

var picture = flag.String("picture", "", "write the picture of the README to this `path`")

const (
	patience  = 20 * time.Second // for one action
	artefacts = "artefacts"
)

// shopBinary builds the shop once.
var shopBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "shop")
	build := exec.Command("go", "build", "-race", "-o", path, ".")
	build.Dir = ".."
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the shop: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if path, err := shopBinary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// openShop starts the shop on a free port of 127.0.0.1 and returns its URL.
func openShop(t *testing.T) string {
	t.Helper()
	path, err := shopBinary()
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-addr", "127.0.0.1:0")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = patience
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
		if strings.Contains(stderr.String(), "DATA RACE") {
			t.Errorf("the shop: %s", stderr.String())
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	_, url, found := strings.Cut(strings.TrimSpace(line), "http://")
	require.True(t, found, line)
	return "http://" + strings.TrimSuffix(url, "/")
}

// browser is a tab of a browser, at a shop.
type browser struct {
	t    *testing.T
	ctx  context.Context
	shop string

	mu     sync.Mutex
	faults []string // of scripts
}

// openBrowser starts a browser of its own, with an empty profile.
func openBrowser(t *testing.T, shop, name string) *browser {
	t.Helper()
	chromium := ""
	for _, candidate := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(candidate); err == nil {
			chromium = path
			break
		}
	}
	if chromium == "" {
		t.Fatal("these tests need chromium, which is not in PATH (Debian: apt-get install -y chromium)")
	}
	opts := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("headless", "new"),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.WindowSize(1440, 900),
		chromedp.WSURLReadTimeout(2 * patience),
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(stopAlloc)
	return newTab(t, alloc, shop, name)
}

// newTab opens a tab: of a new browser, or of the one that ctx belongs to.
func newTab(t *testing.T, ctx context.Context, shop, name string) *browser {
	t.Helper()
	tab, stop := chromedp.NewContext(ctx)
	b := &browser{t: t, ctx: tab, shop: shop}
	// This starts the browser, which lives as long as the context: no timeout.
	require.NoError(t, chromedp.Do(tab))
	require.NoError(t, chromedp.Listen(tab, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.faults = append(b.faults, fmt.Sprint(e.ExceptionDetails))
		case *log.EventEntryAdded:
			// A status of 503 is what some tests are about.
			if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
				b.faults = append(b.faults, e.Entry.Text)
			}
		}
	}))
	t.Cleanup(func() {
		if t.Failed() {
			b.keepScreenshot(name)
		}
		stop()
		b.mu.Lock()
		defer b.mu.Unlock()
		require.Empty(t, b.faults, "errors in the browser's console")
	})
	b.do(chromedp.Navigate(shop + "/"))
	return b
}

// tab opens another tab of the same browser.
func (b *browser) tab(name string) *browser { return newTab(b.t, b.ctx, b.shop, name) }

// do runs actions, with patience for each.
func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	for _, action := range actions {
		result(b, action)
	}
}

// result runs an action, with patience, and returns its value.
func result[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	v, err := try(b, action)
	require.NoError(b.t, err)
	return v
}

func try[T any](b *browser, action chromedp.Action[T]) (T, error) {
	ctx, stop := context.WithTimeout(b.ctx, patience)
	defer stop()
	return chromedp.Run(ctx, action)
}

func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.shop + path))
}

// click clicks on the first that a CSS selector finds and waits for what is to
// come of it.
func (b *browser) click(selector, until string) {
	b.t.Helper()
	b.press(selector)
	b.until(until)
}

// press clicks, and again where what was meant has moved from under the pointer:
// the page is laid out anew by whatever arrives.
func (b *browser) press(selector string) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		// Its form may lead to another page, where nothing waits for a click.
		b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{
			const e = document.querySelector(%q);
			window.missed = true;
			if (e) e.addEventListener("click", () => { window.missed = false; }, {capture: true, once: true});
		}`, selector)))
		b.do(chromedp.Click(chromedp.CSS(selector)))
		missed, err := try(b, chromedp.Evaluate[bool]("window.missed === true"))
		if err != nil || !missed {
			return // an error: the page has gone under the question, so the click was taken
		}
		require.True(b.t, time.Now().Before(deadline), "%s does not keep still", selector)
	}
}

// fire starts the twenty requests and waits for what is to come of them. The
// button means nothing before the page's script has run, which draws the dots
// last.
func (b *browser) fire(until string) {
	b.t.Helper()
	b.until("document.querySelectorAll('#dots i').length === 20")
	b.click("#fire", until)
}

// until waits for a JavaScript expression to be true, across pages, of a page that
// is there as a whole.
func (b *browser) until(expression string) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		ok, err := try(b, chromedp.Evaluate[bool]("document.readyState === 'complete' && Boolean("+expression+")"))
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			require.Failf(b.t, "never came true", "%s: %v", expression, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// text returns the text of the first that a selector finds, "" where there is
// none.
func (b *browser) text(selector string) string {
	b.t.Helper()
	return evaluate[string](b, fmt.Sprintf("(document.querySelector(%q) || {innerText: ''}).innerText.trim()", selector))
}

func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	return result(b, chromedp.Evaluate[T](expression))
}

// cookie returns the value of a cookie, "" where there is none.
func (b *browser) cookie(name string) string {
	b.t.Helper()
	got := result(b, func(ctx context.Context, t *chromedp.Target) (network.GetCookiesResult, error) {
		return cdp.Call(ctx, t, network.GetCookies, network.GetCookiesParams{URLs: []string{b.shop + "/"}})
	})
	for _, c := range got.Cookies {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// add puts a product into the cart and waits for the count.
func (b *browser) add(product string, count int) {
	b.t.Helper()
	b.click("."+product+" form button", fmt.Sprintf("document.querySelector('#count').innerText === '%d'", count))
}

// keepScreenshot saves what the tab shows.
func (b *browser) keepScreenshot(name string) {
	jpeg, err := try(b, chromedp.FullScreenshot(90))
	if err != nil {
		b.t.Logf("no screenshot: %v", err)
		return
	}
	path := filepath.Join(artefacts, strings.ReplaceAll(b.t.Name(), "/", "-")+"-"+name+".jpg")
	if err := os.MkdirAll(artefacts, 0o755); err != nil {
		b.t.Logf("no screenshot: %v", err)
		return
	}
	if err := os.WriteFile(path, jpeg, 0o600); err != nil {
		b.t.Logf("no screenshot: %v", err)
		return
	}
	b.t.Logf("what %s showed: %s", name, path)
}
