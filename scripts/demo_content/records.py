"""Letters, notices and tables of the demo archive. People, places and ships are invented."""

LETTER = """\
Letter from the keeper to her sister, February 1921

Vellamar, at Mrs Tuckett's, 9 February 1921

Dear Win,

You will have read that we are drowned. We are not, though I have been wetter this week than I thought a person could be
and still be spoken to. I write with a borrowed pen in a borrowed nightgown, and my hands are nearly steady.

It began on the Saturday, out of a sky the colour of a knife. By dark the seas were coming over the landing, and by
midnight over the kitchen. I have told you that the tower hums in a wind. That night it did not hum. It spoke, one low
word at each blow, and the cups walked along the shelf. Orrell's old barometer went lower than its own scale and then, I
think, gave up.

We kept the lamp. I want you to know that first, before Aunt hears it some other way. The storm pane on the weather side
went at two in the morning, and we stood a mattress in the hole and leaned on it, turn and turn about, until it was
light. Young Teddy sang hymns, then other things. The lens had salt on it as thick as porridge, but it never stopped
turning.

When day came there was no landing stage. There was no hen house, and there were no hens. The little hut with the tide
board and its clock had gone as if a hand had wiped it off the rock. My left wrist was broken, which I had noticed about
three and not had leisure to look at.

They came for us on the Monday, and how they got a line across I shall never understand. I went down it in the coal
basket, like a delivery. The mate gave me rum and a herring, in that order, and a man I had never met held a bucket for
me for four hours with the manners of a bishop.

The commission is very kind and wishes to know what has become of the inventory. I have replied that I believe it is in
the sea.

I shall go back as soon as the wrist allows. Do not be cross. Somebody must see to the lamp, and I find that I mind very
much that it should be me.

Your loving sister,
Hester

Archivist's note. The writer is the principal keeper of the station. Hester Lorne was taken off the island by the Grey
Petrel on 7 February 1921 and returned to her post on 2 May. The log of the Grey Petrel has one line for the day:
"Fetched keepers. Wet." The letter was given to the archive by her niece.
"""

NOTICE = """\
Notice to mariners, No. 14 of 1958

HARBOUR COMMISSION OF VELLAMAR
Vellamar, 30 June 1958

Vellamar Sound. Submarine cables and changes to lights.

1. Cables. Mariners are advised that two cables have been laid in Vellamar Sound for the supply of Korvane Holm.

   (a) The cable ship Merganser Queen laid the Sandling Cable between 2 and 4 June 1958. It carries telephone circuits.

   (b) The research ship Ada Thornquist laid the Tressel Cable between 17 and 19 June 1958. It carries electric power for
   the light and for the instruments of the tide station.

   Both cables are armoured. They are buried where the bottom is sand and lie open where it is rock, which is to say over
   most of their length. The places where they come ashore on the island are marked by yellow boards and are shown on the
   new edition of the island map.

2. Anchoring and fishing. Anchoring and trawling are prohibited within two cables' length of either line. Vessels that
   foul a cable should slip their gear and not attempt to raise it. Claims for lost gear will be considered if the gear is
   described and its position given. Claims for lost fish will not be considered.

3. Korvane Light. From the night of 1 July 1958 the light is electric. The character of the light is unchanged. The
   nominal range is increased to nineteen sea miles. During the change, between 24 and 30 June, a temporary white light was
   shown from the gallery.

4. Fog bell. The fog bell is discontinued. A diaphone on the south face of the tower gives one blast every minute in thick
   weather. Residents of the mainland who have written to the commission about the sound are thanked for their letters.

5. Charts. Charts of the Sound printed before 1957 show the middle buoy of the Combs ninety metres too far west. Mariners
   are reminded that the buoy has not moved.

By order of the commission,
the Harbour Master
"""

KEEPERS = """\
surname,first name,post,from,to,remarks
Starke,Gideon,principal keeper,1887,1901,Gideon Starke came from Vellamar Harbour Light and wrote the house rules.
Lidgate,Amos,assistant keeper,1887,1894,Came from the slate quays and left to keep bees.
Orrell,Matthias,principal keeper,1901,1919,Matthias Orrell came from the weather ship Constance Ray with a barometer.
Reeve,Thomasin,assistant keeper,1894,1919,Came from the coastguard and carved the clock case.
Lorne,Hester,principal keeper,1919,1934,Came from the signal school. The first woman to hold the post on this coast.
Bassenby,Edward,assistant keeper,1919,1926,Came from the cathedral choir and was known as Young Teddy.
Quarrie,Anselm,principal keeper,1934,1951,Anselm Quarrie came from Tern Rock Light with his own telescope.
Moncrath,Silas,assistant keeper,1926,1940,Came from the herring fleet and planted the kitchen garden.
Teague,Joram,principal keeper,1951,1966,Joram Teague came from the pilot cutter Evening Bell and rewired the tower himself.
Pettifer,Noah,assistant keeper,1940,1958,Came from a signal company and mended watches for half the coast.
Sayle,Wilmot,principal keeper,1966,1978,Wilmot Sayle came from the merchant navy and was the last keeper.
Bray,Ludo,assistant keeper,1958,1978,Came from the dockyard and counted the terns each spring.
"""

ROSTER = (
    ("HARBOUR COMMISSION OF VELLAMAR", "head"),
    ("Roster of boats, winter of 1920", "head"),
    ("", "gap"),
    ("The pilot cutter Evening Bell is under Captain Leopold Anstrew.", "line"),
    ("Evening Bell: crew of eleven, outer roads.", "line"),
    ("", "gap"),
    ("The drifter Saint Brannoc is under Captain Oswin Tarrow.", "line"),
    ("Saint Brannoc: crew of seven, slate quay, north side.", "line"),
    ("", "gap"),
    ("The tender Grey Petrel is under Captain Idris Vantongren.", "line"),
    ("Grey Petrel: crew of nine, inner mole, steam up by six.", "line"),
    ("", "gap"),
    ("The coal hulk Dorcas has no captain at present.", "line"),
    ("Crew of one, and a dog.", "line"),
    ("", "gap"),
    ("Masters are reminded that relief days are Thursdays.", "line"),
    ("Lamp oil is carried on deck and never below.", "line"),
    ("", "gap"),
    ("Posted 4 December 1920. Not to be removed.", "line"),
)

TELEGRAM = (
    "To: Harbour Commission, Vellamar",
    "From: Sandling coastguard",
    "Handed in 19 October 1923 at 6.40 in the morning",
    "",
    "Saint Brannoc ran aground on Cutler Bank in fog.",
    "All seven saved and drying.",
    "Boat is lost. Bell recovered.",
    "Please send boots.",
)
