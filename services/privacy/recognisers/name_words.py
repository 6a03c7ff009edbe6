"""The words that names are told from, in the languages of Europe: what introduces one, what is none."""

from services.privacy.reading import phrases

STRONG = phrases(
    """my name is, my name's, my full name is, my legal name is, name is, i am called, i'm called, they call
    me, my surname is, cardholder is, account holder is, in the name of, name:, cardholder:, me llamo, mi
    nombre es, a nombre de, nombre:, je m'appelle, mon nom est, je me nomme, nom:, au nom de, ich heiße, ich
    heisse, mein name ist, name ist, mi chiamo, il mio nome è, il mio nome e', a nome di, nome:, meu nome é,
    meu nome e, chamo-me, me chamo, em nome de, ik heet, mijn naam is, op naam van, naam:, nazywam się,
    nazywam sie, mam na imię, jag heter, mitt namn är, jeg hedder, jeg heter, mit navn er, mitt navn er,
    nimeni on, benim adım, mă numesc, jmenuji se, меня зовут, мене звати, με λένε"""
)
"""After one of these comes a name, in whatever case it is written."""

WEAK = tuple(
    phrase.replace(";", ",")
    for phrase in phrases(
        """this is, i am, i'm, it's, here is, call me, speaking with, regards;, sincerely;, thanks;, best;,
        cheers;, ich bin, hier ist, hier spricht, mfg, grüße;, grüßen;, je suis, c'est, ici, cordialement;,
        soy, habla, un saludo;, saludos;, sono, saluti;, sou o, sou a, cumprimentos;, ik ben, u spreekt met,
        groet;, groeten;, jestem, jag är, jeg er, hälsningar;, hilsen;"""
    )
)
"""After one of these comes a name only if it has a title, or two capitalised words."""

TITLES = frozenset(
    phrases(
        """dr, mr, mrs, ms, miss, mx, prof, sir, dame, madam, rev, herr, herrn, frau, mme, mlle, monsieur,
        madame, sr, sra, srta, señor, señora, senor, senora, don, doña, dona, sig, signor, signora, dott,
        dottoressa, dhr, mevr, mevrouw, meneer, pan, pani, hr, fru"""
    )
)

LINKS = frozenset(
    phrases(
        """de, da, di, del, della, dos, das, do, van, von, der, den, la, le, el, al, bin, ibn, ter, ten, zu,
        zur, af, av, y, e, d', o'"""
    )
)

NO_NAME = frozenset(
    phrases(
        """a, about, account, actually, afraid, all, also, am, an, and, any, app, apple, as, associated, at,
        august, bank, because, been, being, blocked, british, business, but, by, can, cannot, card, change,
        changed, charged, correct, could, currently, customer, dear, december, der, des, did, different, do,
        does, dollar, dollars, dutch, during, en, english, es, esta, et, eu, euro, euros, europe, february,
        fine, for, friday, french, from, further, german, getting, going, good, google, had, happy, has,
        have, having, hello, help, here, hi, how, i, if, in, incorrect, interested, is, ist, it, italian,
        january, july, june, just, la, le, left, like, linked, listed, looking, march, mastercard, may,
        misspelled, missing, monday, my, name, need, needs, new, nicht, no, not, november, now, october, of,
        off, ok, on, one, only, or, out, pas, payment, paypal, please, polish, pound, pounds, printed,
        registered, same, saturday, september, showing, sick, since, so, sorry, spanish, spelled, spelt,
        still, sunday, sure, thank, thanks, that, the, there, they, this, thursday, to, today, too, trying,
        tuesday, uk, un, una, unable, under, und, unhappy, unsure, us, usa, using, very, visa, waiting,
        want, was, we, wednesday, well, were, what, when, where, which, who, why, will, with, would,
        written, wrong, y, you, your, american, express"""
    )
)
"""Words that end a name, or show that there is none: 'my name is wrong on the card'."""
