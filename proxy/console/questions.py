"""What each act that cannot be taken back would do, in the words of the page that asks."""

from typing import Final

from proxy.console.confirmation import Fact, Question, Time
from proxy.console.language import DECISIONS, RETURN_SECRETS, Pair
from proxy.console.page_context import PageContext
from proxy.console.payments import resolution_of
from proxy.console.terminal_form import mode_of
from proxy.kernel.errors import NoOpenReview, NotFound
from proxy.kernel.ids import merchant_of_id
from proxy.merchants.merchant import Mode, Token
from proxy.operators.records import Operator
from proxy.payments.payment import Decision

_MERCHANTS, _OPERATORS, _REVIEWS = "/merchants", "/operators", "/reviews"
TYPED_CHARS: Final = 4
"""Of a token's shown beginning, its last ones: those are its own."""
_STOREFRONT, _LAST_USED = ("فروشگاه", "Storefront"), ("آخرین کاربرد", "Last used")


async def revoke_token(context: PageContext) -> Question:
    token = await _token(context)
    path = f"/tokens/{token.id}"
    others = [
        each
        for each in await context.services.store.merchants.list_tokens(token.merchant_id)
        if each.id != token.id and each.alive(context.services.now()) and _same_shop(each, token)
    ]
    return Question(
        title=("توکن باطل شود؟", "Revoke this token?"),
        subject=f"{token.prefix}…",
        mode=token.mode,
        happens=[
            (
                "از همان دم هر درخواستی با این توکن رد می‌شود: فروشگاه با آن نه پرداختی می‌سازد و نه چیزی می‌پرسد.",
                "From then on every request with it is refused: the shop can neither make a payment nor ask for one.",
            ),
            (
                "پرداخت‌هایی که ساخته شده‌اند ادامه می‌یابند و خبرشان به فروشگاه می‌رسد.",
                "Payments that were made go on, and the shop is told of them.",
            ),
            ("تا ده دقیقه می‌توان پسش گرفت.", "For ten minutes it can be taken back."),
        ],
        facts=[*_token_facts(token), (("توکن‌های دیگر همین فروشگاه", "Other tokens of this storefront"), len(others))],
        yes=("باطل کن", "Revoke it"),
        back=f"{_MERCHANTS}/{token.merchant_id}",
        section=_MERCHANTS,
        instead=(
            ("توکن تازه بسازید: این یکی یک روز دیگر هم کار می‌کند", "Make a new token: this one works for another day"),
            f"{path}/rotate",
        )
        if context.owns
        else None,
        typed=token.prefix[-TYPED_CHARS:] if token.mode is Mode.LIVE else "",
    )


async def rotate_token(context: PageContext) -> Question:
    token = await _token(context)
    return Question(
        title=("توکن تازه ساخته شود؟", "Make a new token?"),
        subject=f"{token.prefix}…",
        mode=token.mode,
        happens=[
            ("توکن تازه یک بار نشان داده می‌شود.", "The new token is shown once."),
            (
                "این توکن یک روز دیگر کار می‌کند و سپس خود پایان می‌یابد؛ تا آن زمان فروشگاه باید تازه را داشته باشد.",
                "This one works for another day and then ends by itself: by then the shop must have the new one.",
            ),
        ],
        facts=_token_facts(token),
        yes=("توکن تازه بساز", "Make a new token"),
        back=f"{_MERCHANTS}/{token.merchant_id}",
        section=_MERCHANTS,
    )


async def rotate_return_secret(context: PageContext) -> Question:
    merchant = await context.services.store.merchants.merchant(context.request.match_info["merchant_id"])
    mode = mode_of((context.form or context.request.query).get("mode", Mode.LIVE.value))
    return Question(
        title=RETURN_SECRETS[mode],
        subject=merchant.called(context.words.language),
        mode=mode,
        happens=[
            ("راز تازه یک بار نشان داده می‌شود.", "The new secret is shown once."),
            (
                "راز پیشین همان دم کنار می‌رود: تا فروشگاه تازه را نداند، امضای بازگشت مشتری را نادرست می‌بیند.",
                "The one before ends at once: until the shop has the new one, it finds returns' signatures wrong.",
            ),
        ],
        yes=("راز تازه بساز", "Make a new secret"),
        back=f"{_MERCHANTS}/{merchant.id}",
        section=_MERCHANTS,
        carried={"mode": mode.value},
    )


async def switch_terminal_off(context: PageContext) -> Question:
    terminal_id = context.request.match_info["terminal_id"]
    merchant_id = _merchant_of(terminal_id, "terminal")
    store, now = context.services.store.merchants, context.services.now()
    terminal = await store.terminal(merchant_id, terminal_id)
    tokens = await store.list_tokens(merchant_id)
    bound = [each for each in tokens if each.terminal_id == terminal_id and each.alive(now)]
    left = [
        each
        for each in await store.list_terminals(merchant_id)
        if each.enabled and each.mode is terminal.mode and each.id != terminal_id
    ]
    return Question(
        title=("این ترمینال خاموش شود؟", "Switch this terminal off?"),
        subject=terminal.name,
        mode=terminal.mode,
        happens=[
            ("از آن پس پرداخت تازه‌ای با آن ساخته نمی‌شود.", "From then on no new payment is made by it."),
            (
                "پرداخت‌هایی که ساخته شده‌اند ادامه می‌یابند و سرانجامشان از درگاه پرسیده می‌شود.",
                "Payments that were made go on, and the gateway is asked what became of them.",
            ),
            ("هر زمان می‌توان روشنش کرد.", "It can be switched on again at any time."),
        ],
        facts=[
            (("درگاه", "Gateway"), terminal.gateway_url),
            (("ترمینال‌های روشن دیگر از همین نوع", "Other terminals of this kind that are on"), len(left)),
            (("توکن‌هایی که تنها با آن کار می‌کنند", "Tokens that work with it alone"), len(bound)),
        ],
        yes=("خاموش کن", "Switch it off"),
        back=f"{_MERCHANTS}/{merchant_id}",
        section=_MERCHANTS,
    )


async def rotate_operator(context: PageContext) -> Question:
    operator = await _operator(context)
    return Question(
        title=("توکن تازه‌ای برای این گرداننده ساخته شود؟", "Make a new token for this operator?"),
        subject=operator.name,
        happens=[
            ("توکن تازه یک بار نشان داده می‌شود.", "The new token is shown once."),
            (
                "توکن کنونی یک روز دیگر کار می‌کند و سپس خود پایان می‌یابد.",
                "The present one works for another day, and then ends by itself.",
            ),
        ],
        facts=_operator_facts(operator),
        yes=("توکن تازه بساز", "Make a new token"),
        back=_OPERATORS,
        section=_OPERATORS,
    )


async def revoke_operator(context: PageContext) -> Question:
    operator = await _operator(context)
    himself: list[Pair] = [
        ("این خود شمایید: همین نشست هم بسته می‌شود.", "This is you: this very session ends too.")
    ] if operator.name == context.viewer.name else []  # fmt: skip
    return Question(
        title=("این گرداننده باطل شود؟", "Revoke this operator?"),
        subject=operator.name,
        happens=[
            (
                "توکنش همان دم پایان می‌یابد، با همهٔ نشست‌هایی که باز کرده است. بازگشتی ندارد؛ می‌توان دوباره افزودش.",
                "The token ends at once, with every session that it opened. This is for good; they can be added anew.",
            ),
            *himself,
        ],
        facts=_operator_facts(operator),
        yes=("باطل کن", "Revoke it"),
        back=_OPERATORS,
        section=_OPERATORS,
    )


async def resolve_payment(context: PageContext) -> Question:
    payment = await context.payment()
    review = payment.review
    if context.token is not None:
        raise NotFound("payment")
    body = resolution_of(context)
    if review is None or review.resolution is not None:
        raise NoOpenReview(payment.id)
    toman = context.words.toman
    taken = "—" if review.captured_rials is None else toman(review.captured_rials)
    return Question(
        title=("این تصمیم ثبت شود؟", "Store this decision?"),
        subject=payment.order_id,
        mode=payment.mode,
        happens=[
            DECISIONS[Decision(body.decision)][1],
            (
                "تصمیم ماندنی است و عوض نمی‌شود؛ فروشگاه همان دم از آن خبردار می‌شود.",
                "The decision is final, and the shop is told of it at once.",
            ),
            ("درگاه خود پولی جابه‌جا نمی‌کند.", "Dargah moves no money by it."),
        ],
        facts=[
            (("خواسته (تومان)", "Asked (toman)"), toman(review.expected_rials)),
            (("گرفته (تومان)", "Taken (toman)"), taken),
            (("یادداشت", "Note"), body.note),
        ],
        yes=("ثبت کن", "Store it"),
        back=f"/payments/{payment.id}",
        section=_REVIEWS,
        carried={"decision": body.decision, "note": body.note},
    )


async def _token(context: PageContext) -> Token:
    token_id = context.request.match_info["token_id"]
    return await context.services.store.merchants.token(_merchant_of(token_id, "token"), token_id)


async def _operator(context: PageContext) -> Operator:
    return await context.services.store.operators.operator(context.request.match_info["operator_id"])


def _merchant_of(record_id: str, kind: str) -> str:
    merchant_id = merchant_of_id(record_id)
    if merchant_id is None:
        raise NotFound(kind)
    return merchant_id


def _same_shop(one: Token, other: Token) -> bool:
    return (one.storefront, one.mode) == (other.storefront, other.mode)


def _token_facts(token: Token) -> list[tuple[Pair, Fact]]:
    scopes = (("دسترسی‌ها", "Scopes"), ", ".join(token.scope_names()))
    return [(_STOREFRONT, token.storefront), scopes, (_LAST_USED, Time(token.last_used_at))]


def _operator_facts(operator: Operator) -> list[tuple[Pair, Fact]]:
    prefix = (("آغاز توکن", "Prefix"), f"{operator.prefix}…")
    return [(("نقش", "Role"), str(operator.role)), prefix, (_LAST_USED, Time(operator.last_used_at))]
