package browsertest

import (
	"os"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

func TestADeclinedCardTakesBackTheChargeAndNothingElse(t *testing.T) {
	b := openBrowser(t, openShop(t), "browser")
	b.add("mug", 1)
	b.add("mug", 2)
	b.add("lamp", 3)
	b.open("/cart")
	require.Contains(t, b.text(".sum"), "€ 116.00")
	b.click("a[href='/checkout']", "document.querySelector('input[name=card]')")
	b.press("input[value='4000 0000 0000 0002']")
	b.click("main form button", "location.pathname === '/order'")

	require.Equal(t, "Not yet", b.text("h1"))
	require.Contains(t, b.text("#declined"), "the charge was taken back")
	require.Equal(t, []string{"done", "back", "open"}, evaluate[[]string](b, "[...document.querySelectorAll('.steps li')].map(e => e.className)"))
	require.Equal(t, "3", b.text("#count"), "the cart is as it was")
	b.until("document.querySelector('#events .steplist .undone')")
	require.Contains(t, evaluate[[]string](b, "[...document.querySelectorAll('.undone')].map(e => e.innerText)"), "card/charged = 11600")
	require.NotContains(t, evaluate[[]string](b, "[...document.querySelectorAll('.undone')].map(e => e.innerText)"), "order/state = reserved")
	b.until("document.querySelector('#packages').innerText.includes('reserved')")
	require.NotContains(t, b.text("#packages"), "charged")

	b.open("/checkout")
	b.click("main form button", "location.pathname === '/order'")
	require.Equal(t, "Thank you", b.text("h1"))
	require.Contains(t, b.text("main p"), "ends in 4242")
	require.Equal(t, "0", b.text("#count"))
	require.Equal(t, []string{"done", "done", "done"}, evaluate[[]string](b, "[...document.querySelectorAll('.steps li')].map(e => e.className)"))
}

func TestTwoTabsShareOneCart(t *testing.T) {
	first := openBrowser(t, openShop(t), "first tab")
	first.add("plant", 1)
	second := first.tab("second tab")
	require.Equal(t, "1", second.text("#count"))
	second.add("clock", 2)
	first.add("mug", 3)
	second.add("plant", 4)
	first.open("/cart")
	require.Equal(t, []string{"1", "2", "1"}, evaluate[[]string](first, "[...document.querySelectorAll('input[type=number]')].map(e => e.value)"))

	// What is ordered in one tab is not ordered again in the other.
	first.open("/checkout")
	second.open("/checkout")
	first.click("main form button", "location.pathname === '/order'")
	require.Equal(t, "Thank you", first.text("h1"))
	second.click("main form button", "document.querySelector('.sorry')")
	require.Contains(t, second.text("main"), "The cart is empty")
}

func TestTwentyParallelAdditionsAreAllThere(t *testing.T) {
	b := openBrowser(t, openShop(t), "browser")
	b.add("mug", 1)
	b.fire("document.querySelector('#race-result').dataset.there")
	require.Equal(t, "20", evaluate[string](b, "document.querySelector('#race-result').dataset.there"))
	require.Equal(t, "20", evaluate[string](b, "document.querySelector('#race-result').dataset.accepted"))
	require.Equal(t, 20, evaluate[int](b, "document.querySelectorAll('.dots .kept').length"))
	b.until("document.querySelector('#count').innerText === '21'")
	b.until("[...document.querySelectorAll('[data-total=merges], [data-total=conflicts]')].some(e => Number(e.innerText) > 0)")

	// The same over a session that is written back whole.
	b.press(".switch [value=naive] + span")
	b.fire("document.querySelector('#race-result').dataset.mode === 'naive'")
	require.Equal(t, "20", evaluate[string](b, "document.querySelector('#race-result').dataset.accepted"))
	there := evaluate[int](b, "Number(document.querySelector('#race-result').dataset.there)")
	require.Less(t, there, 20)
	require.Contains(t, b.text("#race-result"), "lost")
	require.Equal(t, 20-there, evaluate[int](b, "document.querySelectorAll('.dots .lost').length"))
}

func TestEachLoginHasAnIDOfItsOwnInTwoBrowsers(t *testing.T) {
	shop := openShop(t)
	here, there := openBrowser(t, shop, "here"), openBrowser(t, shop, "there")
	logIn := func(b *browser) string {
		b.open("/login")
		b.click("main form button", "document.querySelector('.logins')")
		return b.text("#own-id")
	}
	here.add("mug", 1)
	before := here.cookie("session")
	require.Len(t, before, 43)
	first := logIn(here)
	require.NotEqual(t, before, here.cookie("session"), "a new id with the login")
	require.Equal(t, "1", here.text("#count"), "the cart comes along")
	second := logIn(there)
	require.NotEqual(t, first, second)
	require.Equal(t, "Ada", there.text("h1"))
	require.Contains(t, there.text(".logins"), first)
	require.Contains(t, there.text(".logins"), second)

	// No page shows an id.
	for _, b := range []*browser{here, there} {
		b.until("document.querySelector('#packages .pkg')")
		html := evaluate[string](b, "document.documentElement.outerHTML")
		require.NotContains(t, html, here.cookie("session"))
		require.NotContains(t, html, there.cookie("session"))
	}

	here.click("main form button", "document.querySelector('input[name=password]')")
	require.Empty(t, here.cookie("session"))
	require.Equal(t, "0", here.text("#count"))
	there.open("/login")
	require.Equal(t, second, there.text("#own-id"), "logged out in the other browser alone")
	require.NotContains(t, there.text(".logins"), first)
	require.NotEqual(t, first, logIn(here))
}

func TestWhileTheStoreIsStoppedNobodyIsLoggedOut(t *testing.T) {
	b := openBrowser(t, openShop(t), "browser")
	b.add("teapot", 1)
	b.open("/login")
	b.click("main form button", "document.querySelector('.logins')")
	id := b.cookie("session")
	b.open("/")
	b.click("#store", "document.querySelector('.banner')")
	require.Contains(t, b.text("main h1"), "Things", "a page that does without the session")
	require.Equal(t, "–", b.text("#count"))
	b.open("/cart")
	require.Contains(t, b.text("h1"), "cannot reach your cart")
	require.Contains(t, b.text("main"), "Nothing is lost")
	require.Equal(t, id, b.cookie("session"))
	b.until("document.querySelector('#events .status.bad')")

	b.click("#store", "!document.querySelector('.banner')")
	require.Equal(t, "Your cart", b.text("h1"))
	require.Equal(t, "1", b.text("#count"))
	require.Equal(t, "Ada", b.text(".who"))
	require.Equal(t, id, b.cookie("session"))
}

func TestTheShopFitsOnAPhone(t *testing.T) {
	b := openBrowser(t, openShop(t), "phone")
	b.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateScale(2)))
	for _, path := range []string{"/", "/cart", "/checkout", "/order", "/login"} {
		b.open(path)
		require.LessOrEqual(t, evaluate[int](b, "document.documentElement.scrollWidth"), 390, path)
		if path == "/" {
			b.add("mug", 1)
		}
		if path == "/checkout" {
			b.click("main form button", "location.pathname === '/order'")
		}
	}
	require.False(t, evaluate[bool](b, "document.querySelector('#depth').offsetHeight > 0"), "folded")
	b.click("#fold", "document.querySelector('#depth').offsetHeight > 0")
	b.until("document.querySelector('#events li')")
	b.click("#fold", "document.querySelector('#depth').offsetHeight === 0")
}

// TestThePictureShowsTheShopAtWork goes through the shop once as the README's
// picture shows it, and writes the picture where -picture asks for it.
func TestThePictureShowsTheShopAtWork(t *testing.T) {
	b := openBrowser(t, openShop(t), "browser")
	b.do(chromedp.EmulateViewport(1440, 960, chromedp.EmulateScale(1.5)))
	b.add("lamp", 1)
	b.add("plant", 2)
	b.open("/checkout")
	b.press("input[value='4000 0000 0000 0002']")
	b.click("main form button", "location.pathname === '/order'")
	b.open("/")
	b.fire("document.querySelector('#race-result').dataset.there")
	b.until("document.querySelector('#packages').innerText.includes('reserved')")
	b.until("document.querySelector('#count').innerText === '22'")
	b.until("document.querySelector('#packages').innerText.includes('teapot')")
	b.do(chromedp.Evaluate[chromedp.Void]("document.activeElement.blur()"))
	png := result(b, chromedp.CaptureScreenshot())
	require.NotEmpty(t, png)
	if *picture != "" {
		require.NoError(t, os.WriteFile(*picture, png, 0o644))
	}
}
