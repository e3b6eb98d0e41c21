package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
	"github.com/seed-ad7f1900/sessiondata/storeurl"
)

// customer is a browser without scripts.
type customer struct {
	t      *testing.T
	server *httptest.Server
	client *http.Client
	shop   *shop
}

func newCustomer(t *testing.T) *customer {
	t.Helper()
	return customerOf(t, "memory:")
}

// customerOf is a customer of a shop whose sessions are where a URL says.
func customerOf(t *testing.T, storeURL string) *customer {
	t.Helper()
	store, err := storeurl.Open(t.Context(), storeURL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	shop, err := newShop(store)
	require.NoError(t, err)
	server := httptest.NewServer(shop.handler())
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &customer{t, server, &http.Client{Jar: jar, Timeout: 20 * time.Second}, shop}
}

func (c *customer) answer(res *http.Response, err error) (int, string) {
	c.t.Helper()
	require.NoError(c.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(c.t, err)
	return res.StatusCode, string(body)
}

func (c *customer) get(path string) (int, string) {
	c.t.Helper()
	return c.answer(c.client.Get(c.server.URL + path))
}

func (c *customer) post(path string, form ...string) (int, string) {
	c.t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	return c.answer(c.client.PostForm(c.server.URL+path, values))
}

// id returns the session's id in the cookie.
func (c *customer) id() string {
	u, err := url.Parse(c.server.URL)
	require.NoError(c.t, err)
	for _, cookie := range c.client.Jar.Cookies(u) {
		if cookie.Name == "session" {
			return cookie.Value
		}
	}
	return ""
}

// events returns what the panel has been told.
func (c *customer) events() []event {
	u, err := url.Parse(c.server.URL)
	require.NoError(c.t, err)
	for _, cookie := range c.client.Jar.Cookies(u) {
		if cookie.Name == panelCookie {
			past, _, stop := c.shop.live.listen(cookie.Value, 0)
			stop()
			return past
		}
	}
	return nil
}

func (c *customer) last() event {
	c.t.Helper()
	all := c.events()
	require.NotEmpty(c.t, all)
	return all[len(all)-1]
}

func TestTheShopWorksWithoutScripts(t *testing.T) {
	for name, storeURL := range map[string]string{
		"memory":    "memory:",
		"memcached": "memcache://" + memcachedtest.Start(t).Addr() + "?timeout=20s&dial_timeout=20s",
	} {
		t.Run(name, func(t *testing.T) {
			c := customerOf(t, storeURL)
			status, page := c.get("/")
			require.Equal(t, 200, status)
			require.Contains(t, page, "Stoneware mug")
			require.Empty(t, c.id(), "a visitor who only looks has no session")

			status, page = c.post("/cart/add", "product", "mug")
			require.Equal(t, 200, status)
			require.Contains(t, page, "€ 18.50")
			_, page = c.post("/cart/set", "product", "mug", "quantity", "3")
			require.Contains(t, page, "€ 55.50")

			_, page = c.post("/checkout", "card", declinedCard)
			require.Contains(t, page, "Your card was declined")
			_, page = c.get("/cart")
			require.Contains(t, page, "€ 55.50")
			_, page = c.post("/checkout", "card", goodCard)
			require.Contains(t, page, "Thank you")
			_, page = c.get("/cart")
			require.Contains(t, page, "Nothing here yet")
		})
	}
}

func TestBadInputIsRefused(t *testing.T) {
	c := newCustomer(t)
	for _, form := range [][]string{
		{"/cart/add"},
		{"/cart/add", "product", "yacht"},
		{"/cart/set", "product", "mug", "quantity", "-1"},
		{"/cart/set", "product", "mug", "quantity", "100"},
		{"/cart/set", "product", "mug", "quantity", "many"},
		{"/checkout", "card", goodCard},
		{"/login", "name", "Ada", "password", "wrong"},
		{"/login", "name", " ", "password", password},
		{"/login", "name", strings.Repeat("a", 41), "password", password},
		{"/login", "name", "a\x00b", "password", password},
		{"/naive/add", "product", "yacht"},
	} {
		status, _ := c.post(form[0], form[1:]...)
		require.Equal(t, 400, status, form)
		require.Empty(t, c.id(), form)
	}
	c.post("/cart/set", "product", "mug", "quantity", "99")
	status, page := c.post("/cart/add", "product", "mug")
	require.Equal(t, 400, status)
	require.Contains(t, page, "99 of it already")
	c.post("/checkout", "card", "1")
	_, page = c.get("/order")
	require.Contains(t, page, "declined")
	status, _ = c.get("/no/such/page")
	require.Equal(t, 404, status)
}

func TestAnotherSiteCannotAct(t *testing.T) {
	c := newCustomer(t)
	for _, header := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Origin": {"https://evil.example"}}} {
		req, err := http.NewRequest("POST", c.server.URL+"/cart/add", strings.NewReader("product=mug"))
		require.NoError(t, err)
		req.Header = header
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		status, _ := c.answer(c.client.Do(req))
		require.Equal(t, 403, status)
	}
	require.Empty(t, c.id())
	c.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, back := range []string{"", "//evil.example", "/\\evil.example", "https://evil.example"} {
		res, err := c.client.PostForm(c.server.URL+"/beneath/store", url.Values{"to": {"started"}, "back": {back}})
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, "/", res.Header.Get("Location"))
	}
}

func TestThePanelIsToldWhatHappened(t *testing.T) {
	c := newCustomer(t)
	c.post("/cart/add", "product", "mug")
	all := c.events()
	require.Len(t, all, 2, "the addition and the cart that it leads to")
	added := all[0]
	require.Equal(t, "POST", added.Method)
	require.Equal(t, "/cart/add", added.Path)
	require.Equal(t, 303, added.Status)
	require.Equal(t, 1, added.Trips, "a new session is one write")
	require.Positive(t, added.Sent)
	require.Equal(t, []step{{"change", "cart/mug = 1"}}, added.Steps)

	c.post("/checkout", "card", declinedCard)
	all = c.events()
	steps := all[len(all)-2].Steps
	require.Contains(t, steps, step{"savepoint", "savepoint: charge"})
	require.Contains(t, steps, step{"change", "card/charged = 1850"})
	require.Contains(t, steps, step{"back", "charge: taken back to the savepoint"})

	// The same reaches an open panel.
	res, err := c.client.Get(c.server.URL + "/beneath/live")
	require.NoError(t, err)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if data, found := strings.CutPrefix(lines.Text(), "data: "); found {
			var got event
			require.NoError(t, json.Unmarshal([]byte(data), &got))
			require.Equal(t, added, got)
			break
		}
	}
	require.NoError(t, lines.Err())
}

func TestLoginAndLogoutChangeTheIDAndNoPageShowsIt(t *testing.T) {
	c := newCustomer(t)
	c.post("/cart/add", "product", "mug")
	before := c.id()
	_, page := c.post("/login", "name", "Ada", "password", password, "remember", "1")
	after := c.id()
	require.NotEqual(t, before, after)
	require.Contains(t, page, "#"+shortID(after))
	require.NotContains(t, page, after)
	require.NotContains(t, page, "#"+shortID(before))
	_, session := c.get("/beneath/session")
	require.NotContains(t, session, after)
	require.Contains(t, session, `"name":"user"`)
	_, page = c.post("/logout")
	require.Contains(t, page, "Any name will do")
	require.Empty(t, c.id())
	require.Empty(t, c.shop.accounts.of("Ada"))
	for _, e := range c.events() {
		for _, s := range e.Steps {
			require.NotContains(t, s.Text, before)
			require.NotContains(t, s.Text, after)
		}
	}
}

func TestWhatVisitorsSeeWhileTheStoreIsStopped(t *testing.T) {
	c := newCustomer(t)
	c.post("/cart/add", "product", "mug")
	id := c.id()
	c.post("/beneath/store", "to", "stopped", "back", "/cart")
	status, page := c.get("/cart")
	require.Equal(t, 503, status)
	require.Contains(t, page, "Nothing is lost")
	require.Equal(t, 503, c.last().Status)
	status, _ = c.get("/")
	require.Equal(t, 200, status)
	status, session := c.get("/beneath/session")
	require.Equal(t, 200, status)
	require.Contains(t, session, `"stopped":true`)
	c.post("/beneath/store", "to", "started")
	_, page = c.get("/cart")
	require.Contains(t, page, "€ 18.50")
	require.Equal(t, id, c.id())
}

func TestParallelAdditionsAreMergedAndRunAgain(t *testing.T) {
	c := newCustomer(t)
	c.post("/cart/add", "product", "mug")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			res, err := c.client.PostForm(c.server.URL+"/cart/add", url.Values{"product": {catalogue[i%4].ID}, "think": {"1"}})
			if err == nil {
				_ = res.Body.Close()
			}
			if err != nil || res.StatusCode != 200 {
				t.Errorf("an addition failed: %v", err)
			}
		})
	}
	wg.Wait()
	_, page := c.get("/cart")
	require.Contains(t, page, "21 items")
	merges, conflicts := 0, 0
	for _, e := range c.events() {
		merges += e.Merges
		conflicts += e.Conflicts
	}
	require.Positive(t, merges+conflicts, "they never met")
}

func TestLastWriteWinsLosesWhatCameBetween(t *testing.T) {
	s := newLastWriteWins()
	first, err := s.load("cart")
	require.NoError(t, err)
	second, err := s.load("cart")
	require.NoError(t, err)
	first["mug"]++
	second["lamp"]++
	require.NoError(t, s.save("cart", first))
	require.NoError(t, s.save("cart", second))
	left, err := s.load("cart")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"lamp": 1}, left)
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	l := newLive()
	for i := range maxTopics + 10 {
		l.publish(strings.Repeat("x", i%7)+time.Duration(i).String(), event{})
	}
	require.Len(t, l.topics, maxTopics)
	for range maxEvents + 10 {
		l.publish("one", event{})
	}
	past, _, stop := l.listen("one", 0)
	stop()
	require.Len(t, past, maxEvents)
	past, _, stop = l.listen("one", past[maxEvents-2].ID)
	stop()
	require.Len(t, past, 1)

	a := newAccounts()
	for range maxLogins + 3 {
		a.add("Ada", login{})
	}
	require.Len(t, a.of("Ada"), maxLogins)
	for i := range maxAccounts {
		a.add(time.Duration(i).String(), login{})
	}
	require.LessOrEqual(t, len(a.logins), maxAccounts)
	s := newLastWriteWins()
	for i := range maxBlobs + 10 {
		require.NoError(t, s.save(time.Duration(i).String(), nil))
	}
	require.LessOrEqual(t, len(s.blobs), maxBlobs)
}

func TestElsewhereIsTheOtherNameOfThisMachine(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1:8080": "http://localhost:8080/login", "localhost:8080": "http://127.0.0.1:8080/login", "shop.example": "",
	} {
		require.Equal(t, want, elsewhere(&http.Request{Host: host}))
	}
}

func TestTheProgramServesUntilItIsToldToStop(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-addr", "127.0.0.1:0"}, in, io.Discard) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	_, address, _ := strings.Cut(strings.TrimSpace(line), "at ")
	res, err := http.Get(address)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 200, res.StatusCode)
	live, err := http.Get(address + "beneath/live") // a panel that is open does not keep it from stopping
	require.NoError(t, err)
	defer live.Body.Close()
	stop()
	require.NoError(t, <-done)
}

func TestTheProgramNamesWhatIsWrong(t *testing.T) {
	for want, args := range map[string][]string{
		"unexpected argument":              {"surplus"},
		"flag provided but not defined":    {"-nope"},
		"-store: sessiondata: invalid use": {"-store", "redis://user:secret@example.com/0"},
		`scheme "redis"`:                   {"-store", "redis://user:se cret@exa mple"},
		"listen tcp":                       {"-addr", "127.0.0.1:99999"},
	} {
		err := run(t.Context(), args, io.Discard, io.Discard)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
}
